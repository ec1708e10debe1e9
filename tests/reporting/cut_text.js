// Texts and pictures of a page that a reader cannot see whole, each with what cuts it; paper scrolls nowhere.
function cutTexts(page, paper) {
  const root = page.documentElement;
  const look = (e) => page.defaultView.getComputedStyle(e);
  const opaque = (e) => /IMG|CANVAS/.test(e.tagName) || !/, 0(\.\d+)?\)$/.test(look(e).backgroundColor);
  const name = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""}`;

  // A shade travels with the place and is seen at its right edge: nothing opaque lies over most of it.
  function shaded(place) {
    if (!look(place).backgroundAttachment.includes("scroll") || !look(place).backgroundImage.includes("gradient"))
      return false;
    const box = place.getBoundingClientRect();
    const over = [...place.querySelectorAll("*")].filter(opaque).map((e) => e.getBoundingClientRect())
      .filter((r) => r.right > box.right - 4 && r.left < box.right - 4);
    const heights = [...Array(9)].map((_, n) => box.top + box.height * (n + 0.5) / 9);
    return heights.filter((y) => over.some((r) => r.top <= y && y <= r.bottom)).length < 5;
  }

  const scrolls = (e, flow) => !paper && /auto|scroll/.test(flow) && e.tabIndex >= 0 && shaded(e);

  // The box of an SVG clip path on the screen.
  function clipBox(e) {
    const id = /url\(.*#(.+?)"?\)/.exec(look(e).clipPath);
    const shape = id && page.getElementById(id[1])?.querySelector("rect");
    if (!shape) return null;
    const { a, d, e: x, f: y } = e.getScreenCTM();
    const [left, top, width, height] = ["x", "y", "width", "height"].map((k) => shape[k].baseVal.value);
    return { left: x + a * left, right: x + a * (left + width), top: y + d * top, bottom: y + d * (top + height) };
  }

  function cutBy(box, parent) {
    let { left, right, top, bottom } = box;
    for (let e = parent; e && e !== page.documentElement; e = e.parentElement) {
      const { overflowX, overflowY } = look(e), own = e.getBoundingClientRect(), clip = clipBox(e);
      if (clip && (left < clip.left - 1 || right > clip.right + 1 || top < clip.top - 1 || bottom > clip.bottom + 1))
        return e;
      if (overflowX !== "visible" && (left < own.left - 1 || right > own.right + 1)) {
        if (!scrolls(e, overflowX)) return e;
        left = Math.max(left, own.left); right = Math.min(right, own.right);
        if (left >= right) return null;
      }
      if (overflowY !== "visible" && (top < own.top - 1 || bottom > own.bottom + 1)) return e;
    }
    const width = paper && parent.closest(".scroll.wide")?.offsetWidth || root.clientWidth;
    return left < -1 || right > width + 1 ? root : null;
  }

  for (const fold of page.querySelectorAll("details")) fold.open = true;
  for (const picture of page.querySelectorAll("img[src^='data:image/svg+xml;base64,']")) {
    if (!picture.checkVisibility()) continue;  // its text is as much the page's as any other
    const { width, height } = picture.getBoundingClientRect();
    const bytes = Uint8Array.from(atob(picture.src.split(",")[1]), (c) => c.charCodeAt(0));
    const drawn = new DOMParser().parseFromString(new TextDecoder().decode(bytes), "image/svg+xml").documentElement;
    drawn.setAttribute("style", `width:${width}px;height:${height}px;background:white`);
    picture.replaceWith(drawn);
  }
  const found = [];
  const inspect = (words, boxes, parent) => {
    const by = boxes.filter((r) => r.width > 0.5 && r.height > 0.5).map((r) => cutBy(r, parent)).find(Boolean);
    if (by) found.push(`${words.trim().slice(0, 60)} | by ${name(by)}`);
  };
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const walk = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const { parentElement: parent, textContent: text } = walk.currentNode;
    if (!text.trim() || !seen(parent)) continue;
    const range = page.createRange();
    range.selectNodeContents(walk.currentNode);
    inspect(text, [...range.getClientRects()], parent);
  }
  for (const picture of page.querySelectorAll("main img"))
    if (seen(picture)) inspect(`picture: ${picture.alt}`, [picture.getBoundingClientRect()], picture.parentElement);
  if (!paper && root.scrollWidth > root.clientWidth) found.push(`the page: ${root.scrollWidth} of ${root.clientWidth} pixels`);
  return found;
}
