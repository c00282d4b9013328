// The texts and marks of a page that do not stand out enough from what is behind them (WCAG 2.2, 1.4.3 and 1.4.11).
(() => {
  const numbers = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const parts = numbers(getComputedStyle(node).backgroundColor);
      if (parts.length && parts[3] !== 0) return getComputedStyle(node).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), node = walk.currentNode.parentElement;
    if (!text || !node.checkVisibility() || node.closest("script, [data-chart^=correlations]")) continue;
    const style = getComputedStyle(node), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const told = ratio(node.closest("svg") ? style.fill : style.color, behind(node));
    if (told < (large ? 3 : 4.5)) found.push([text.slice(0, 40), told]);
  }
  const named = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  const pairs = [
    ...["heat-0", "heat-1", "heat-2", "cold-1", "cold-2"].map((cell) => ["ink", cell, 4.5]),
    ...["heat-3", "heat-4", "cold-3", "cold-4"].map((cell) => ["on-heat", cell, 4.5]),
    ...["after", "good", "bad", "chosen", "link"].map((mark) => [mark, "paper", 3]),
    ["on-state", "good", 3], ["on-state", "bad", 3], ["before", "after", 2],
  ];
  for (const [one, other, least] of pairs) {
    const told = ratio(named(one), named(other));
    if (told < least) found.push([one, other, told]);
  }
  return found;
})()
