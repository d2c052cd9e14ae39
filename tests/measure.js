(() => {
  // Every text that is seen: where it stands, cut to what its scrolling ancestors show, and how large its letters are.
  const root = document.documentElement, texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, style, title, .skip") || !parent.checkVisibility()) continue;
    const drawn = parent instanceof SVGElement;
    const scale = drawn ? Math.hypot(parent.getScreenCTM().a, parent.getScreenCTM().b) : 1;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      let { left, right, top, bottom } = box;
      for (let a = parent; a && a !== root; a = a.parentElement)
        if (getComputedStyle(a).overflowX !== "visible" && !(a instanceof SVGElement)) {
          const edge = a.getBoundingClientRect();
          left = Math.max(left, edge.left); right = Math.min(right, edge.right);
        }
      if (right - left > 1)
        texts.push({ said: node.data.trim().slice(0, 60), left, right, top, bottom,
                     letters: parseFloat(getComputedStyle(parent).fontSize) * scale, block: parent.closest("nav, svg") });
    }
  }
  const say = t => `${t.said} @${Math.round(t.left)},${Math.round(t.top + scrollY)}`;
  texts.sort((a, b) => a.top - b.top);
  const overlaps = [];
  for (let i = 0; i < texts.length; i++)
    for (let k = i + 1; k < texts.length && texts[k].top < texts[i].bottom; k++) {
      const a = texts[i], b = texts[k];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      const letters = Math.min(a.letters, b.letters);
      if (wide > 1.5 && high > 0.35 * letters) overlaps.push(`${say(a)} | ${say(b)} (${wide.toFixed(0)}×${high.toFixed(0)})`);
    }
  const beyond = (e, right) => e.getBoundingClientRect().right > right + 1;
  return {
    width: root.clientWidth, scrollWidth: root.scrollWidth,
    wide: [...document.querySelectorAll("body *")].filter(e =>
      e.checkVisibility() && !(e instanceof SVGElement && e.tagName !== "svg") && !e.parentElement.closest(".scroll, nav") &&
      beyond(e, root.clientWidth)).map(e => e.outerHTML.slice(0, 200)),
    out: texts.filter(t => t.right > root.clientWidth + 1 || t.left < -1).map(say),
    cut: [...document.querySelectorAll("svg")].filter(s => s.checkVisibility()).flatMap(s => {
      const frame = s.getBoundingClientRect();
      return texts.filter(t => t.block === s && (t.left < frame.left - 1 || t.right > frame.right + 1 ||
        t.top < frame.top - 2 || t.bottom > frame.bottom + 2)).map(say);
    }),
    scrolling: [...document.querySelectorAll(".scroll")].filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
      .map(e => `${e.getAttribute("aria-label")} (${e.scrollWidth} in ${e.clientWidth})`),
    small: [...new Set(texts.filter(t => t.letters < 10.95).map(t => `${t.letters.toFixed(1)} px: ${say(t)}`))],
    overlaps, texts: texts.length,
    figures: [...document.querySelectorAll("figure svg")].filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().width),
    fetched: performance.getEntriesByType("resource").map(e => e.name),
    ids: [...document.querySelectorAll("[id]")].map(e => e.id),
  };
})()
