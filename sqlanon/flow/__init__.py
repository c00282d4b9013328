"""Data-flow models: who gets which fields when, what they could come to know, and whether anybody agreed to that."""
