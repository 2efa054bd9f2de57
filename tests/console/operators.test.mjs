// What operators see, and what they do about it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { command, facts, home, isGood, open, reloadUntil, signIn, withPage } from "./support.mjs";

const OPERATE = "/console/operate";
const PAGES = { status: "", uploads: "/uploads", refused: "/refused", letters: "/dead-letters", rebuilds: "/rebuilds", accounts: "/accounts",
  account: `/accounts/${facts.account}`, storage: "/storage", actions: "/actions" };

const bucket = facts.settings.STORAGE_PATH;
const operator = (name, lifetime = "1d") => command("token", "create", "--scope", "operate", "--name", name, "--expires-in", lifetime);
const artifact = (account, sha256) => path.join(bucket, "artifacts", String(account), "sha256", sha256.slice(0, 2), `${sha256}.zst`);

// Accepts an upload whose artifact is missing. Returns what puts it there.
function acceptWithoutArtifact() {
  const journal = path.join(bucket, "events/uploads");
  const events = fs.readdirSync(journal, { recursive: true }).filter((name) => name.endsWith(".json"));
  const read = events.map((name) => JSON.parse(fs.readFileSync(path.join(journal, name), "utf8")));
  const event = read.find(({ data: { account_id: account, files } }) => account === facts.account && files?.[0].kind === "manifest"
    && !fs.existsSync(artifact(facts.other, files[0].sha256)));
  const now = Date.now();
  const digits = now.toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
  const id = digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-7$3-8$4-$5");
  const time = new Date(now).toISOString();
  const data = { ...event.data, account_id: facts.other, project_id: 2, environment_id: 3, run_id: "lost" };
  const folder = path.join(journal, ...time.slice(0, 10).split("-"), time.slice(11, 13));
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, `${id}.json`), JSON.stringify({ ...event, id, time, subject: `accounts/${facts.other}`, data }));
  const { sha256 } = event.data.files[0];
  return () => {
    fs.mkdirSync(path.dirname(artifact(facts.other, sha256)), { recursive: true });
    fs.copyFileSync(artifact(facts.account, sha256), artifact(facts.other, sha256));
  };
}

test("an operator sees what could not be applied, and retries it", () => withPage(async (page) => {
  const repair = acceptWithoutArtifact();
  await signIn(page, operator("Retries").key, "/console");
  assert.equal(new URL(page.url()).pathname, OPERATE);
  // The sweep finds the event.
  await reloadUntil(page, /1 event could not be applied/);
  await page.getByRole("link", { name: "Dead letters" }).click();
  assert.match(await page.textContent("tbody"), /does not exist in the bucket/);
  await isGood(page, "operate-dead-letters");
  await page.locator("tbody a").first().click();
  await isGood(page, "operate-dead-letter");
  await Promise.all([page.waitForURL("**/dead-letters/*?done=again"), page.getByRole("button", { name: "Retry" }).click()]);
  repair();
  await Promise.all([page.waitForURL("**/dead-letters?done=applied"), page.getByRole("button", { name: "Retry" }).click()]);
  assert.match(await page.textContent("[role=status]"), /was applied/);
  await page.goto(`${OPERATE}/actions`);
  assert.match(await page.textContent("tbody tr"), /Retries.*retried an event/s);
}));

test("pages for operators are good to look at", () => withPage(async (page) => {
  await signIn(page, operator("Looks").key, OPERATE);
  for (const [name, address] of Object.entries(PAGES)) {
    assert.equal(await open(page, OPERATE + address), 200, address);
    assert.equal(await page.locator(".tabs [aria-current=page]").count(), 1);
    await isGood(page, `operate-${name}`);
  }
}));

test("an operator creates a token that reads, and revokes it, without JavaScript", () => withPage(async (page, context) => {
  await signIn(page, operator("Creates").key, `${OPERATE}/accounts/${facts.account}`);
  await page.fill("#name", '<b onclick="alert(1)">build</b>');
  await page.getByRole("button", { name: "Create" }).click();
  const key = await page.textContent("code.key");
  const runs = `/api/v2/accounts/${facts.account}/runs/`;
  const status = async () => (await context.request.get(runs, { headers: { authorization: `Bearer ${key}` } })).status();
  assert.equal(await status(), 200);
  await page.getByRole("link", { name: "To the account" }).click();
  const row = page.locator("tr", { hasText: "build</b>" });
  await row.locator("summary").click();
  await Promise.all([page.waitForURL("**?done=revoked"), row.getByRole("button").click()]);
  assert.equal(await status(), 401);
}, { javaScriptEnabled: false, expected: [401] }));

test("a session of an operator ends with its token, and shows nothing of accounts", () => withPage(async (page) => {
  const { id, key } = operator("Ends");
  await signIn(page, key, OPERATE);
  assert.equal(await open(page, home), 403);
  command("token", "delete", id);
  await page.goto(`${OPERATE}/accounts`);
  assert.match(page.url(), /\/console\/sign-in\?next=.*ended=1/);
}, { expected: [403] }));

test("who reads sees no page for operators", () => withPage(async (page) => {
  await signIn(page, facts.all, home);
  for (const address of Object.values(PAGES)) assert.equal(await open(page, OPERATE + address), 403, address);
}, { expected: [403] }));
