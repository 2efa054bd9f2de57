// What those find who read: what failed, why, and what it affects.
import assert from "node:assert/strict";
import { test } from "node:test";

import { environment, facts, home, isGood, open, signIn, withPage } from "./support.mjs";

const LINEAGE = `${environment}/lineage`;

test("the overview says what fails now, since when, and what is not fresh", () => withPage(async (page) => {
  await signIn(page, facts.all, environment);
  const failing = page.locator("#failing + *");
  assert.match(await failing.textContent(), /bread/);
  assert.match(await failing.textContent(), /no_such_table/);
  assert.match(await page.locator("#stale + *").textContent(), /raw\.orders/);
  const strip = page.locator("table.jobs svg").first();
  assert.equal(await strip.locator("a").count(), 5);
  assert.ok((await strip.locator(".bad").first().boundingBox()).height > 3, "the bars can be seen");
  await isGood(page, "overview");
}));

test("three clicks lead from a red run to the SQL of the test that failed", () => withPage(async (page) => {
  await signIn(page, facts.all, `${home}/environments/${facts.checks}`);
  await page.locator("table.jobs tbody .status.bad").first().click();
  await page.waitForURL("**/runs/*");
  const failures = page.locator("#failures").locator("xpath=following-sibling::*").first();
  assert.match(await failures.textContent(), /strict/);
  await failures.locator("a").first().click();
  await page.waitForURL("**/nodes/test.bakery.strict*");
  assert.match(await page.locator("#compiled ~ pre, #compiled pre, section:has(#compiled) pre").first().textContent(), /select/i);
  await isGood(page, "test");
}));

test("a run shows failures first, what was skipped because of them, its timeline and its files", () => withPage(async (page) => {
  await signIn(page, facts.all, `${home}/runs?status=20&environment=1`);
  await isGood(page, "runs");
  await page.locator("tbody a", { hasText: "#" }).first().click();
  await page.waitForURL("**/runs/*");
  const text = await page.textContent("main");
  assert.ok(text.indexOf("Failures") < text.indexOf("Timeline"));
  for (const expected of ["no_such_table", "cake", "not_null_bread_item", "dbt build", "Critical path", "run_results.json"]) {
    assert.ok(text.includes(expected), expected);
  }
  const bar = page.locator("svg.timeline rect").first();
  assert.ok((await bar.boundingBox()).width > 1, "the bars of the timeline can be seen");
  await isGood(page, "run");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "run_results.json" }).click()]);
  assert.equal(download.suggestedFilename(), "run_results.json");
}));

test("runs are filtered without JavaScript", () => withPage(async (page) => {
  await signIn(page, facts.all, `${home}/runs`);
  await page.selectOption("select[name=status]", { label: "Error" });
  await page.click("form.filters button");
  const words = await page.locator("tbody .status").allTextContents();
  assert.ok(words.length > 0 && words.every((word) => word === "Error"), String(words));
}, { javaScriptEnabled: false }));

test("a selection chooses what the lineage shows, and a wrong one is explained", () => withPage(async (page) => {
  await signIn(page, facts.all, `${LINEAGE}?select=bread%2B`);
  const shown = await page.textContent("main");
  assert.ok(shown.includes("bread") && shown.includes("cake") && !shown.includes("deliveries"), shown);
  await isGood(page, "lineage");
  await page.fill("[name=select]", "+bread");
  await page.press("[name=select]", "Enter");
  await page.waitForURL("**select=%2Bbread**");
  assert.match(await page.textContent("main"), /deliveries/);
  assert.equal(await open(page, `${LINEAGE}?select=no_such_method%3Ax`), 400);
  assert.match(await page.textContent("[role=alert]"), /no_such_method/);
}, { expected: [400] }));

test("the graph becomes larger and smaller, and as large as at first", () => withPage(async (page) => {
  await signIn(page, facts.all, LINEAGE);
  const picture = page.locator("[data-canvas] svg");
  const width = async () => (await picture.boundingBox()).width;
  const click = (name) => page.locator("[data-tools]").getByTitle(name).click();
  const first = await width();
  await click("Larger");
  const large = await width();
  assert.ok(large > first * 1.2, `${large} after ${first}`);
  await click("Smaller");
  await click("Smaller");
  const small = await width();
  assert.ok(small < first * 0.9, `${small} after ${first}`);
  await click("All of it");
  assert.ok(Math.abs(await width() - first) < 2, `${await width()} instead of ${first}`);
}));

test("without JavaScript, the nodes of the graph are a list, and there are no buttons that do nothing", () => withPage(async (page) => {
  await signIn(page, facts.all, LINEAGE);
  assert.equal(await page.locator("[data-tools]").isVisible(), false);
  const drawn = await page.locator("[data-canvas] svg g.node").count();
  assert.ok(drawn > 3, `${drawn} nodes are drawn`);
  assert.equal(await page.locator("table.nodes tbody tr").count(), drawn);
}, { javaScriptEnabled: false }));

test("a graph of dots leads to the form when the session has ended, and is silent without a network", () => withPage(async (page, context) => {
  await signIn(page, facts.all);
  // The sample is too small for dots.
  await context.route("**/lineage", async (route) => {
    const response = await route.fetch();
    const near = `data-canvas data-near="${LINEAGE}/near?select=bread"`;
    const body = (await response.text()).replace("data-canvas", near).replace("</main>", "<p data-near-name hidden></p></main>");
    await route.fulfill({ response, body });
  }, { times: 1 });
  await page.goto(LINEAGE);
  await context.setOffline(true);
  await Promise.all([page.waitForEvent("requestfailed"), page.locator("[data-canvas]").hover({ position: { x: 50, y: 50 } })]);
  await context.setOffline(false);
  await context.clearCookies();
  await Promise.all([page.waitForURL("**/console/sign-in?next=**"), page.locator("[data-canvas]").hover({ position: { x: 90, y: 90 } })]);
}));

test("the key / leads to the search from each page, also from those of no environment", () => withPage(async (page) => {
  await signIn(page, facts.all, home);
  for (const from of [home, `${home}/runs`, `${home}/compare`, environment]) {
    await page.goto(from);
    await page.keyboard.press("/");
    await page.keyboard.type("bread");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/search?q=bread");
  }
  const first = page.locator("main a", { hasText: "bread" }).first();
  assert.match(await page.textContent("main"), /model/);
  await isGood(page, "search");
  await first.click();
  await page.waitForURL("**/nodes/*bread*");
}));

test("a node shows its code, its columns, its history and where its state comes from", () => withPage(async (page) => {
  await signIn(page, facts.all, `${environment}/nodes/model.bakery.bread`);
  const text = await page.textContent("main");
  for (const expected of ["bread", "join", "cake", "no_such_table", "manifest.json"]) assert.ok(text.includes(expected), expected);
  await isGood(page, "node");
}));

test("two runs are compared", () => withPage(async (page) => {
  await signIn(page, facts.all, `${home}/compare?run=8&with=6`);
  const changed = page.locator("details.change", { hasText: "model.bakery.bread" });
  const lines = changed.locator("pre.diff");
  assert.deepEqual(await lines.locator(".del").allTextContents(), ["− join no_such_table using (item)"]);
  assert.deepEqual(await lines.locator(".ins").allTextContents(), []);
  assert.ok(await lines.isVisible(), "it is open");
  await isGood(page, "compare");
  // The other way around.
  await open(page, `${home}/compare?run=6&with=8`);
  assert.deepEqual(await lines.locator(".ins").allTextContents(), ["+ join no_such_table using (item)"]);
  assert.deepEqual(await lines.locator(".del").allTextContents(), []);
}));

test("names and descriptions of an attacker are shown as text", () => withPage(async (page) => {
  const other = `${home}/environments/2`;
  await signIn(page, facts.all, other);
  for (const address of [other, `${other}/lineage`, `${other}/search?q=img`, `${other}/search?q=${encodeURIComponent("<script>")}`]) {
    assert.equal(await open(page, address), 200, address);
    assert.equal(await page.locator("main img, main script, main [onerror]").count(), 0, address);
  }
  const links = await page.evaluate(async (address) => {
    const body = await (await fetch(address)).text();
    return [...new DOMParser().parseFromString(body, "text/html").querySelectorAll("main a[href*='/nodes/']")].map((link) => link.getAttribute("href"));
  }, `${other}/lineage`);
  assert.ok(links.length > 2, `${links.length} nodes`);
  for (const link of links.slice(0, 12)) {
    assert.equal(await open(page, link), 200, link);
    assert.equal(await page.locator("main img, main script, main [onerror], main [href^='javascript']").count(), 0, link);
    assert.doesNotMatch(await page.title(), /^\d/);
  }
  await isGood(page, "hostile");
}));
