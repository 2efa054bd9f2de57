// A browser that notices what no page may do, for all tests.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { setInterval } from "node:timers/promises";

export const facts = JSON.parse(process.env.CONSOLE_FACTS);
const load = createRequire(path.join(facts.modules, "package.json"));
const { chromium } = load("playwright-core");
const axe = load("axe-core").source;

export const home = `/console/${facts.account}`;
export const environment = `${home}/environments/${facts.environment}`;
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };

// Runs a command of dbt-api.
export function command(...words) {
  const printed = execFileSync(facts.binary, ["--json", ...words.map(String)], { env: facts.settings, cwd: "/" });
  return JSON.parse(printed);
}

// Runs a test with a page of a new browser, and fails if a page did what none may: an error in its console, something that its policy
// forbids, a request to another host. `expected` lists answers that the test provokes.
export async function withPage(work, { expected = [], ...options } = {}) {
  const browser = await chromium.launch({ executablePath: facts.chromium, args: ["--no-sandbox"] });
  try {
    const context = await browser.newContext({ baseURL: facts.url, viewport: WIDE, ...options });
    const wrong = [];
    context.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol.startsWith("http") && origin !== facts.url) wrong.push(`a request to ${request.url()}`);
    });
    context.on("response", (response) => {
      if (response.status() >= 400 && !expected.includes(response.status())) wrong.push(`${response.status()} from ${response.url()}`);
    });
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => console.error(`forbidden: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const page = await context.newPage();
    page.on("console", (message) => {
      const isAnswer = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isAnswer) wrong.push(message.text());
    });
    page.on("pageerror", (error) => wrong.push(String(error)));
    page.on("dialog", (dialog) => { wrong.push(`a dialog: ${dialog.message()}`); return dialog.dismiss(); });
    await work(page, context);
    assert.deepEqual(wrong, []);
  } finally {
    await browser.close();
  }
}

const sessions = new Map();

// Signs in by the form, the first time that a key is used: attempts are limited.
export async function signIn(page, key = facts.all, wanted = home) {
  if (sessions.has(key)) {
    await page.context().addCookies(sessions.get(key));
    await page.goto(wanted);
    return;
  }
  await page.goto(wanted);
  await page.fill("#key", key);
  await Promise.all([page.waitForURL((url) => !url.pathname.endsWith("/sign-in")), page.click("main button[type=submit]")]);
  sessions.set(key, await page.context().cookies(facts.url + home));
}

// Opens a page, and returns its status.
export async function open(page, address) {
  const response = await page.goto(address);
  return response.status();
}

// Opens the page again and again until it shows a text: what a part that works beside the browser has to do first.
export async function reloadUntil(page, text) {
  const ended = AbortSignal.timeout(120_000);
  for await (const _ of setInterval(500, null, { signal: ended })) {
    await page.reload();
    if (text.test(await page.textContent("main"))) return;
  }
}

// Fails if axe-core finds something serious, in light and in dark, wide and narrow; or if the page is wider than the screen. Keeps a
// screenshot of each.
export async function isGood(page, name) {
  for (const [look, viewport] of [["light", WIDE], ["dark", WIDE], ["light", NARROW]]) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme: look });
    const width = viewport.width === WIDE.width ? "wide" : "narrow";
    await page.screenshot({ path: path.join(facts.screenshots, `${name}-${look}-${width}.png`), fullPage: true });
    // Through the debugger, which the page's policy does not apply to.
    const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
    const serious = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const shown = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
    assert.deepEqual(shown, [], `${name}, ${look}, ${width}`);
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(beyond, 0, `${name} is wider than a screen of ${viewport.width} pixels`);
  }
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: "light" });
}
