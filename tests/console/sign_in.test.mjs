// Signing in and out, and what a session may not do.
import assert from "node:assert/strict";
import { test } from "node:test";

import { command, facts, home, isGood, open, signIn, withPage } from "./support.mjs";

test("a link leads through the form to the page that it names", () => withPage(async (page) => {
  await page.goto(`${home}?from=chat`);
  assert.match(page.url(), /\/console\/sign-in\?next=/);
  await isGood(page, "sign-in");
  await page.fill("#key", facts.all);
  await Promise.all([page.waitForURL(`${home}?from=chat`), page.click("main button[type=submit]")]);
}));

test("a browser that opens / comes to the console, and others get JSON", () => withPage(async (page, context) => {
  await page.goto("/");
  assert.match(page.url(), /\/console\/sign-in/);
  const answer = await context.request.get("/", { headers: { accept: "application/json" } });
  assert.equal((await answer.json()).name, "dbt-api");
}));

test("a wrong key is refused with words, and the form stays", () => withPage(async (page) => {
  await page.goto("/console/sign-in");
  await page.fill("#key", "not a key");
  await page.click("main button[type=submit]");
  assert.match(await page.textContent("[role=alert]"), /not the key of a valid token/);
}, { expected: [401] }));

test("signing out ends the session", () => withPage(async (page) => {
  await signIn(page);
  await Promise.all([page.waitForURL("**/console/sign-in"), page.click(".sign-out button")]);
  await page.goto(home);
  assert.match(page.url(), /\/console\/sign-in/);
}));

test("a session ends with its token at the next request", () => withPage(async (page) => {
  await signIn(page, facts.revoked.key);
  command("token", "delete", facts.revoked.id);
  await page.goto(home);
  assert.match(page.url(), /\/console\/sign-in\?next=.*ended=1/);
  assert.match(await page.textContent("[role=alert]"), /session has ended/);
}));

test("the cookie is only for the console, and scripts cannot read it", () => withPage(async (page, context) => {
  await signIn(page);
  const cookie = (await context.cookies(facts.url + home)).find(({ name }) => name === "dbt_api_session");
  assert.deepEqual([cookie.path, cookie.httpOnly, cookie.sameSite, cookie.secure], ["/console", true, "Lax", false]);
  assert.ok(!cookie.value.includes(facts.all));
  const headers = { cookie: `dbt_api_session=${cookie.value}` };
  for (const address of [`/api/v2/accounts/${facts.account}/runs`, `/api/v3/accounts/${facts.account}/environments`]) {
    assert.equal((await fetch(facts.url + address, { headers })).status, 401, address);
  }
  const asked = await fetch(`${facts.url}/graphql`, { method: "POST", headers, body: '{"query":"{__typename}"}' });
  assert.equal(asked.status, 401);
  assert.equal((await fetch(facts.url + home, { headers })).status, 200);
}));

test("forms from elsewhere are refused", () => withPage(async (page, context) => {
  await signIn(page);
  const cookies = await context.cookies(facts.url + home);
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  const token = await page.getAttribute(".sign-out [name=form_token]", "value");
  const send = async (fields, origin) => {
    const headers = { cookie, ...(origin ? { origin } : {}), "content-type": "application/x-www-form-urlencoded" };
    const options = { method: "POST", headers, body: new URLSearchParams(fields), redirect: "manual" };
    return (await fetch(`${facts.url}/console/sign-out`, options)).status;
  };
  assert.equal(await send({ form_token: token }, "https://other.example"), 403);
  assert.equal(await send({ form_token: token }, "null"), 403);
  assert.equal(await send({ form_token: token }), 403);
  assert.equal(await send({ form_token: "00" }, facts.url), 403);
  assert.equal(await send({}, facts.url), 422);
  assert.equal(await send({ form_token: token }, facts.url), 303);
}));

test("pages of another account, or of an environment that the token does not see, are not found", () => withPage(async (page) => {
  await signIn(page, facts.read);
  for (const address of [`/console/${facts.other}`, `/console/${facts.other}/environments/3`, `${home}/environments/2`, "/console/999", "/console/no/such/page"]) {
    assert.equal(await open(page, address), 404, address);
    assert.match(await page.textContent("h1"), /Not found/);
  }
}, { expected: [404] }));

test("wrong keys are limited, and leave a right one accepted", () => withPage(async (page) => {
  const wrong = async (attempt) => {
    await page.goto("/console/sign-in");
    await page.fill("#key", `wrong ${attempt}`);
    await page.click("main button[type=submit]");
    return page.textContent("[role=alert]");
  };
  let attempt = 0;
  while (!/Too many wrong keys/.test(await wrong(attempt))) {
    attempt += 1;
    assert.ok(attempt < 60, "never limited");
  }
  await page.fill("#key", facts.read);
  await Promise.all([page.waitForURL(`**${home}`), page.click("main button[type=submit]")]);
}, { expected: [401, 429] }));
