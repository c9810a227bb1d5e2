// People who come in over HTTPS: `node signin.mjs LINK CHROMIUM RESTART`.
// LINK is what the daemon printed for the first admin; it has one volume, `mail`, with marks. RESTART is a command that
// kills it and starts it again on the same port. The page keeps the content security policy that the daemon sends.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { axe, begin, signIn as signInAt } from "./browser.mjs";

const [link, executablePath, ...restart] = process.argv.slice(2);
const [address] = link.split("#");
const PASSWORD = "correct horse battery";
const PAGES = ["", "volumes", "volumes/mail", "views", "targets", "policies", "capacity", "alerts", "jobs", "audit", "users", "settings"];
const { claim, finish } = await begin(executablePath);
const signIn = (page, user, password = PASSWORD) => signInAt(page, address, user, password);

await claim(
  "signing in and making the first admin have no serious finding",
  async (page) => {
    await page.goto(link);
    await page.getByLabel("Password", { exact: true }).waitFor();
    assert.deepEqual(await axe(page), [], "setup");
  },
  // What looks for findings is put into the page, which the policy would refuse.
  { bypassCSP: true },
);

await claim("the printed link makes the first admin, who is in", async (page) => {
  await page.goto(link);
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "First start" }).waitFor();
  await page.getByRole("link", { name: "Cancel" }).click();
  await page.getByText("All is well").waitFor();
  for (const place of PAGES) {
    await page.goto(`${address}#/${place}`);
    await page.locator("h1").first().waitFor();
  }
  await page.goto(`${address}#/users`);
  await page.getByRole("button", { name: "Add a user", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("victor");
  await dialog.getByLabel("Role").selectOption("viewer");
  await dialog.getByLabel("Password").first().fill(PASSWORD);
  const again = dialog.getByLabel("The same again");
  if ((await again.count()) > 0) await again.fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("cell", { name: "victor", exact: true }).waitFor();
});

await claim("the link is good once", async (page) => {
  await page.goto(link);
  await page.locator("h1").first().waitFor();
  const answer = await page.request.post(`${address}api/v1/setup`, {
    data: { code: link.split("/").at(-1), user: "eve", password: PASSWORD },
  });
  assert.equal(answer.status(), 401);
});

await claim("a wrong password is told, and shows nothing", async (page) => {
  await signIn(page, "anna", "not this, not this");
  await page.getByText("do not fit").waitFor();
  assert.equal(await page.getByRole("link", { name: "Volumes" }).count(), 0);
});

await claim("who may only look is told so, and may not", async (page) => {
  await signIn(page, "victor");
  await page.getByText("All is well").waitFor();
  await page.goto(`${address}#/volumes/mail`);
  const take = page.getByRole("button", { name: "Take a mark", exact: true });
  await take.waitFor();
  assert.equal(await take.getAttribute("aria-disabled"), "true", "a viewer is offered to take marks");
  const csrf = (await (await page.request.get(`${address}api/v1/session`)).json()).csrf;
  const answer = await page.request.post(`${address}api/v1/marks`, {
    headers: { "x-csrf-token": csrf },
    data: { volumes: ["mail"] },
  });
  assert.equal(answer.status(), 403);
});

await claim("signing out ends the session, whoever keeps its cookie", async (page) => {
  await signIn(page, "victor");
  await page.getByText("All is well").waitFor();
  const cookies = await page.context().cookies();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Password").waitFor();
  await page.context().addCookies(cookies);
  const answer = await page.request.get(`${address}api/v1/volumes`);
  assert.equal(answer.status(), 401);
});

await claim("a daemon that is killed under an open page comes back there, with the session", async (page) => {
  await signIn(page, "anna");
  await page.getByText("All is well").waitFor();
  await page.goto(`${address}#/volumes`);
  await page.getByRole("link", { name: "mail", exact: true }).waitFor();
  execFileSync(restart[0], restart.slice(1), { stdio: "ignore" });
  await page.getByText("The appliance does not answer").waitFor({ state: "detached", timeout: 20_000 });
  await page.goto(`${address}#/audit`);
  await page.getByText("/setup").first().waitFor({ timeout: 20_000 });
});

await finish();
