// What all suites of the console share: a browser, claims that hold or not, and a look for what keeps people out.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** For what takes a moment here, on a machine that is slow and busy. */
const PATIENCE_MS = 30_000;

/** Begins a suite. `claim` runs a check in a context of its own, in which nobody is signed in. */
export async function begin(executablePath, defaults = {}) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  let failures = 0;

  async function claim(what, check, options = {}) {
    const context = await browser.newContext({
      viewport: { width: 1024, height: 800 },
      ignoreHTTPSErrors: true,
      ...defaults,
      ...options,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) errors.push(message.text());
    });
    const began = performance.now();
    try {
      await check(page);
      assert.deepEqual(errors, [], "the page threw errors");
      console.log(`ok ${what} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failures += 1;
      console.log(`not ok ${what}\n${error.stack ?? error}`);
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/failed-${failures}.png` });
    }
    await context.close();
  }

  async function finish() {
    await browser.close();
    console.log(failures === 0 ? "all claims hold" : `${failures} claims do not hold`);
    process.exitCode = failures === 0 ? 0 : 1;
  }

  return { claim, finish };
}

/** What is serious or critical on a page. */
export async function axe(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return bad.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(", ")}`);
}

/** How often something that is judged by its speed is tried: the best counts, since others use the machine too. */
const TRIES = 3;

/** The least of what `measure` gives, tried again while it is more than `most`. */
export async function best(most, measure) {
  let least = Infinity;
  for (let n = 0; n < TRIES && least > most; n += 1) least = Math.min(least, await measure());
  return least;
}

export const button = (page, name) => page.getByRole("button", { name, exact: true });

/** Opens a page of the console and waits until it is there. */
export async function open(page, address, place) {
  await page.goto(`${address}#/${place}`);
  await page.locator("h1").first().waitFor();
}

export async function signIn(page, address, user, password) {
  await page.goto(address);
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.keyboard.press("Enter");
}

/** Fills the open dialog in, and says yes. */
export async function answer(page, values, verb) {
  const dialog = page.getByRole("dialog");
  for (const [label, value] of Object.entries(values)) await dialog.getByLabel(label).fill(value);
  await dialog.getByRole("button", { name: verb, exact: true }).click();
}

/** Goes on to the next step of a wizard, which must be of this name. */
export async function next(page, name) {
  await button(page, "Next").click();
  await page.getByRole("heading", { name: new RegExp(`^${name} step`) }).waitFor();
}
