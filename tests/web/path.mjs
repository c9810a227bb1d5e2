// A new user's path, as the README has it: `node path.mjs LINK CHROMIUM IMAGE NBD_ADDRESS`.
// LINK is what the daemon printed for the first admin; IMAGE is a disk with something on it. What the volume holds is
// compared by its hash at each step, through the NBD door.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { answer, axe, begin, button, next } from "./browser.mjs";
import { hashOf, Nbd } from "./nbd.mjs";

const [link, executablePath, image, nbd] = process.argv.slice(2);
const PASSWORD = "correct horse battery";
const { claim, finish } = await begin(executablePath, { bypassCSP: true });
const fileHash = () => createHash("sha256").update(readFileSync(image)).digest("hex");
const good = fileHash();
let damaged = "";

await claim("a new user comes from the printed link to a disk that is damaged and given back", async (page) => {
  await page.goto(link);
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.keyboard.press("Enter");

  // First start: the fingerprint to compare, then the image is adopted and protected.
  await page.getByRole("heading", { name: "First start" }).waitFor();
  await page.getByText(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/).waitFor();
  assert.deepEqual(await axe(page), [], "first start");
  await next(page, "Volume");
  await page.getByLabel("A disk or image that exists").check();
  await page.getByLabel("by its path").or(page.getByLabel("Path on the daemon's host")).fill(image);
  await page.getByText("nothing stands in the way").waitFor();
  assert.equal(await page.getByLabel("Name of the volume").inputValue(), "old");
  assert.deepEqual(await axe(page), [], "the choice of a disk");
  await next(page, "Reach");
  await next(page, "Protection");
  await page.getByLabel("How often").fill("1h");
  await next(page, "Check");
  await page.getByText(`tidemark volume adopt old ${image}`).waitFor();
  await button(page, "Begin").click();
  await page.getByText("old is served and protected").waitFor();
  assert.equal(fileHash(), good, "adopting has changed the disk");
  assert.equal(await hashOf(nbd, "old"), good, "the volume does not read as the disk");

  // Damage, as a client does it.
  const client = await Nbd.open(nbd, "old");
  for (let n = 0; n < 16; n += 1) await client.write(n * 3 * 65536, randomBytes(65536));
  damaged = await client.hash();
  client.close();
  assert.notEqual(damaged, good);

  // The old mark is viewed, and holds what was there.
  await page.getByRole("link", { name: "Look at old" }).click();
  await page.getByRole("slider").waitFor();
  await page.getByRole("slider").focus();
  await page.keyboard.press("Home");
  await button(page, "Open a view").click();
  await answer(page, { "Name of the view": "rescue" }, "Open it");
  await page.getByRole("link", { name: "view/rescue" }).waitFor();
  assert.equal(await hashOf(nbd, "view/rescue"), good, "the view does not show what was there");
  assert.equal(await hashOf(nbd, "old"), damaged, "a view has changed the volume");
  await page.goto(`${link.split("#")[0]}#/views`);
  await button(page, "Drop view rescue").click();
  await answer(page, { "Type rescue to confirm": "rescue" }, "Drop it");
  await page.getByText("View rescue is gone").waitFor();

  // Back, and back again.
  await page.goto(`${link.split("#")[0]}#/volumes/old`);
  await page.getByRole("slider").focus();
  await page.keyboard.press("Home");
  await button(page, "Roll back").click();
  await answer(page, { "Type old to confirm": "old" }, "Roll back");
  await page.getByText(/old reads as at/).waitFor();
  assert.equal(await hashOf(nbd, "old"), good, "the rollback does not give back what was there");
  await page.goto(`${link.split("#")[0]}#/jobs`);
  await page.getByRole("row", { name: /rollback old done/ }).waitFor({ timeout: 60_000 });
  await page.goto(`${link.split("#")[0]}#/volumes/old`);
  await button(page, "Undo the last rollback").click();
  await answer(page, {}, "Undo it");
  await page.getByText("The rollback of old is undone").waitFor();
  assert.equal(await hashOf(nbd, "old"), damaged, "the undo does not bring back what was there before");
});

await finish();
