"use strict";
(() => {
  // RFC 1951: plotly.js as raw deflate in base64, a third of its size; whatever runs next finds it there.
  const bytes = Uint8Array.from(atob("{{packed}}"), (c) => c.charCodeAt(0));
  const out = new Uint8Array({{size}});
  let at = 0, end = 0, held = 0, count = 0;

  const fill = (n) => { for (; count < n; count += 8) held |= bytes[at++] << count; };
  const drop = (n) => { held >>>= n; count -= n; };
  const bits = (n) => { fill(n); const value = held & ((1 << n) - 1); drop(n); return value; };

  function table(lengths) {
    const most = Math.max(1, ...lengths);
    const entries = new Uint16Array(1 << most);
    for (let length = 1, code = 0; length <= most; length++, code <<= 1) {
      for (let symbol = 0; symbol < lengths.length; symbol++) {
        if (lengths[symbol] !== length) continue;
        let place = 0;
        for (let bit = 0; bit < length; bit++) place |= ((code >> bit) & 1) << (length - 1 - bit);
        for (; place < entries.length; place += 1 << length) entries[place] = (symbol << 4) | length;
        code++;
      }
    }
    return entries;
  }

  function symbol(entries) {
    fill(15);
    const entry = entries[held & (entries.length - 1)];
    drop(entry & 15);
    return entry >> 4;
  }

  const runs = (...pairs) => pairs.flatMap(([length, times]) => Array(times).fill(length));
  const fixed = [table(runs([8, 144], [9, 112], [7, 24], [8, 8])), table(runs([5, 30]))];
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

  function dynamic() {
    const literals = bits(5) + 257, distances = bits(5) + 1, codes = bits(4) + 4;
    const own = Array(19).fill(0);
    for (let n = 0; n < codes; n++) own[ORDER[n]] = bits(3);
    const entries = table(own), lengths = [];
    while (lengths.length < literals + distances) {
      const next = symbol(entries);
      if (next < 16) lengths.push(next);
      else if (next === 16) lengths.push(...runs([lengths[lengths.length - 1], bits(2) + 3]));
      else lengths.push(...runs([0, next === 17 ? bits(3) + 3 : bits(7) + 11]));
    }
    return [table(lengths.slice(0, literals)), table(lengths.slice(literals))];
  }

  const scale = (first, extras) => extras.map((extra) => { const own = [first, extra]; first += 1 << extra; return own; });
  const LENGTHS = [...scale(3, runs([0, 8], [1, 4], [2, 4], [3, 4], [4, 4], [5, 4])), [258, 0]];
  const DISTANCES = scale(1, runs([0, 4], ...Array.from({ length: 13 }, (_, n) => [n + 1, 2])));

  function block([literals, distances]) {
    for (let next = symbol(literals); next !== 256; next = symbol(literals)) {
      if (next < 256) { out[end++] = next; continue; }
      const [length, more] = LENGTHS[next - 257], until = end + length + bits(more);
      const [distance, further] = DISTANCES[symbol(distances)], back = distance + bits(further);
      for (; end < until; end++) out[end] = out[end - back];
    }
  }

  for (let last = 0; !last;) {
    last = bits(1);
    const kind = bits(2);
    if (kind !== 1 && kind !== 2) throw new Error("expected packed text, found a stored or damaged block");
    block(kind === 1 ? fixed : dynamic());
  }
  const script = document.createElement("script");
  script.nonce = document.currentScript.nonce;
  script.textContent = new TextDecoder().decode(out);
  document.head.append(script);
  script.remove();
})();
