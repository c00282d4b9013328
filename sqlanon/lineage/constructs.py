"""Which constructs of an analyst's SELECT are known to depend on what stands in them, and on nothing else.

Names of the syntax tree's nodes and of functions. What is not here is refused: a function of the
user's, one that reads a file, a setting, a sequence, the catalog or the clock of the session, or that draws.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Expressions that come to nothing but what their parts come to.
EXPRESSIONS = _names(
    """
    Identifier Literal Boolean Null Var Paren Tuple Cast TryCast DataType DataTypeParam Interval Alias Ordered Order
    And Or Not EQ NEQ LT LTE GT GTE Is In Like ILike Between NullSafeEQ NullSafeNEQ Any All Escape SimilarTo
    Neg Add Sub Mul Div Mod IntDiv Pow DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift
    BitwiseRightShift Case If Coalesce Nullif Greatest Least Distinct Filter Where WithinGroup Bracket Slice Collate
    AtTimeZone Rollup Cube GroupingSets Grouping Group WindowSpec Array Adjacent JSONPath JSONPathRoot JSONPathKey
    JSONPathSubscript
    """
)

# Functions that have a node of their own.
FUNCTIONS = _names(
    """
    Abs Acos Acosh Asin Asinh Atan Atan2 Atanh Cbrt Ceil Cos Cosh Cot Degrees Exp Factorial Floor Ln Log Pi Pow Radians
    Round Sign Sin Sinh Sqrt Tan Tanh Trunc IsInf IsNan
    ArrayContains ArrayConcat ArrayDistinct ArraySize ArrayToString ArraySlice ArrayPosition ArrayAppend ArrayPrepend
    StringToArray Split SplitPart
    Ascii Chr Concat ConcatWs Contains StartsWith EndsWith Format Initcap Left Length Levenshtein Lower Upper Pad Repeat
    Replace Reverse Right StrPosition Substring Translate Trim Unicode Hex Unhex MD5 SHA SHA2 Overlay ToChar Soundex
    JarowinklerSimilarity BitLength ByteLength
    RegexpExtract RegexpExtractAll RegexpFullMatch RegexpILike RegexpLike RegexpReplace RegexpSplit RegexpCount
    CurrentDate CurrentTimestamp Date DateAdd DateDiff DateFromParts DateSub DateTrunc TimestampTrunc Day DayOfMonth
    DayOfWeek DayOfWeekIso DayOfYear Dayname Monthname Month Quarter Week WeekOfYear Year YearOfWeek Hour Minute Second
    Extract LastDay StrToDate StrToTime TimeToStr TsOrDsToDate TsOrDsToTimestamp DateBin MakeInterval TimestampDiff
    TimestampAdd TimestampFromParts TimeToUnix UnixToTime MonthsBetween TsOrDsAdd TsOrDsDiff ToNumber
    JSONExtract JSONExtractScalar JSONBExtract JSONBExtractScalar WidthBucket
    AnyValue ApproxDistinct ApproxQuantile ArgMax ArgMin Avg BitwiseAndAgg BitwiseOrAgg BitwiseXorAgg Corr Count CountIf
    CovarPop CovarSamp Kurtosis LogicalAnd LogicalOr Max Median Min Mode PercentileCont PercentileDisc Quantile
    RegrAvgx RegrAvgy RegrCount RegrIntercept RegrR2 RegrSlope RegrSxx RegrSxy RegrSyy Skewness Stddev StddevPop
    StddevSamp Sum Variance VariancePop
    CumeDist DenseRank PercentRank Rank
    """
)

# Aggregates whose value depends on the order of their rows, and with it on what a sub-query orders by.
ORDERED = _names("ArrayAgg GroupConcat List")

# Window functions that say where a row lies: they need an ORDER BY of their own, or they tell an accident.
PLACES = _names("FirstValue Lag LastValue Lead NthValue Ntile RowNumber")

# Functions that have no node of their own, by their names.
NAMED = {
    "duckdb": _names(
        """
        count_star strip_accents nfc_normalize format printf jaccard jaro_similarity jaro_winkler_similarity hamming
        damerau_levenshtein bar base64 from_base64 to_base64 len prefix suffix instr ord lcase ucase trunc even gamma
        gcd lcm bit_count make_date make_timestamp make_time epoch epoch_ms epoch_us to_days to_months to_years
        to_hours to_minutes to_seconds to_weeks to_microseconds to_milliseconds date_part datepart date_diff datediff
        date_sub datesub date_trunc datetrunc date_add time_bucket age era isoyear isodow julian century decade
        millennium weekday weekofyear yearweek century list_value list_contains list_has list_sum list_avg list_min
        list_max list_count list_distinct list_sort list_reverse array_length cardinality regexp_matches
        regexp_escape string_split array_slice array_extract isfinite isinf isnan sum_no_overflow fsum favg kahan_sum
        geomean geometric_mean product entropy mad approx_count_distinct quantile_cont quantile_disc bool_and bool_or
        min_by max_by ends_with starts_with contains not_ilike_escape like_escape ilike_escape not_like_escape
        url_encode url_decode translate row
        """
    ),
    "postgres": _names(
        """
        age make_date make_time make_timestamp make_interval date_part to_char to_date to_timestamp to_number
        justify_days justify_hours justify_interval isfinite btrim ltrim rtrim quote_ident quote_literal quote_nullable
        strpos lpad rpad initcap num_nulls num_nonnulls div gcd lcm min_scale scale trim_scale width_bucket
        array_length array_position array_positions array_remove array_replace array_upper array_lower array_ndims
        cardinality array_cat array_append array_prepend string_to_array array_to_string lower upper regexp_match
        regexp_matches regexp_split_to_array regexp_substr regexp_instr regexp_count regexp_like unistr normalize
        every bool_and bool_or bit_and bit_or bit_xor int4range int8range numrange daterange tsrange isempty lower_inc
        upper_inc sha224 sha256 sha384 sha512 encode decode convert_to char_length character_length octet_length
        like_escape similar_to_escape timezone date_bin row
        """
    ),
}

# What a SELECT, a set operation, a table, a join may have; whatever else stands there is refused.
PARTS = {
    "Select": _names("with_ expressions distinct from_ joins where group having qualify windows order limit offset"),
    "SetOperation": _names("with_ this expression distinct order limit offset"),
    "Subquery": _names("with_ this alias joins order limit offset"),
    "Table": _names("this db catalog alias joins only"),
    "Join": _names("this on using side kind method"),
    "With": _names("expressions"),
    "CTE": _names("this alias materialized"),
    "Star": _names("except_ replace rename"),
    "Group": _names("expressions all cube rollup grouping_sets totals"),
    "Window": _names("this partition_by order spec alias over first"),
    "Limit": _names("expression"),
    "Values": _names("expressions alias"),
}
JOINS = frozenset({"", "INNER", "OUTER", "CROSS", "SEMI", "ANTI"})

# What nodes are called by people.
WORDS = {
    "Dot": "a field, or a function of a schema", "Columns": "COLUMNS(…)", "Star": "a whole row", "Lambda": "a lambda",
    "Operator": "an operator of a schema", "Comprehension": "a list comprehension", "Struct": "a struct",
    "PositionalColumn": "a column by its place", "ObjectIdentifier": "a name of the catalogue",
    "Parameter": "a parameter", "Placeholder": "a parameter", "SessionParameter": "a setting",
}  # fmt: skip
