// One sheet of pictures for each page of the console: `node sheets.mjs SHOTS_DIR CHROMIUM OUT_DIR`.
// Takes what `SHOTS=SHOTS_DIR tests/web/run.sh` leaves, and puts a desktop and a phone, light and dark, side by side.

import { readdirSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [shots, executablePath, out] = process.argv.slice(2);
const FACES = [
  [1440, "light"],
  [1440, "dark"],
  [390, "light"],
  [390, "dark"],
];
/** Pixels of a sheet for each pixel of a page, and how much of a long page is shown. */
const SCALE = 0.5;
const HEIGHT = 760;

const pages = readdirSync(shots)
  .filter((name) => name.endsWith("-1440-light.png"))
  .map((name) => name.slice(0, -"-1440-light.png".length));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const sheet = await browser.newPage();
for (const page of pages) {
  const faces = FACES.map(([width, scheme]) => {
    const picture = readFileSync(`${shots}/${page}-${width}-${scheme}.png`).toString("base64");
    return `<div><img width="${width * SCALE}" src="data:image/png;base64,${picture}"></div>`;
  });
  await sheet.setContent(`<style>
    body { display: flex; gap: 12px; margin: 0; padding: 12px; background: #8b9899; width: max-content }
    div { max-height: ${HEIGHT}px; overflow: hidden; border-radius: 6px }
    img { display: block }
  </style>${faces.join("")}`);
  await sheet.locator("img").last().evaluate((img) => img.decode());
  await sheet.locator("body").screenshot({ path: `${out}/${page}.jpg`, type: "jpeg", quality: 80 });
}
await browser.close();
console.log(`result: ${pages.length} sheets`);
