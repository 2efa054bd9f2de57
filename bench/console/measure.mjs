// Measures pages in Chromium: the console's, and those of dbt's own documentation site for the same manifest and catalog.
//
// Reads CONSOLE_BENCH, a JSON object: `modules` (a folder with playwright-core), `docs` (a folder with index.html, manifest.json
// and catalog.json), `url` and `key` of the console, and `pages`: for each name a pair of paths, the console's and the site's, which may be
// null. Prints a JSON object: for each page and each of both, medians of the seconds until it can be read, the bytes received, and the MiB of
// the tab's process.
import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { gzipSync } from "node:zlib";

const given = JSON.parse(process.env.CONSOLE_BENCH);
const { chromium } = createRequire(path.join(given.modules, "package.json"))("playwright-core");
const ROUNDS = Number(process.env.ROUNDS ?? 5);

// Serves the site, compressed like a web server with its usual settings would.
function serve(folder) {
  const files = new Map(["index.html", "manifest.json", "catalog.json"].map((name) => {
    const plain = readFileSync(path.join(folder, name));
    return [`/${name}`, { plain, packed: gzipSync(plain, { level: 6 }) }];
  }));
  const server = createServer((request, response) => {
    const file = files.get(new URL(request.url, "http://site").pathname);
    const kind = request.url.includes(".json") ? "application/json" : "text/html";
    if (!file) return response.writeHead(404).end();
    return response.writeHead(200, { "content-type": kind, "content-encoding": "gzip" }).end(file.packed);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

// What can be read: our graphs and pages are elements; the site draws its graph on a canvas, or fills in the model's title.
const READABLE = {
  console: () => document.readyState !== "loading" && (document.querySelector("main svg text") || document.querySelector("main h1")),
  lineage: () => [...document.querySelectorAll("canvas")].some((canvas) => {
    if (!canvas.width || !canvas.offsetParent) return false;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, at) => at % 4 === 3 && value !== 0);
  }),
  node: () => [...document.querySelectorAll("h1")].some((title) => title.offsetParent && title.textContent.includes("_")),
};

function memoryOf(pid) {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)[1]) / 1024;
}

// One visit in a new browser; with `warm`, the page is visited once before.
async function visit(address, readable, { headers, warm }) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const context = await browser.newContext({ extraHTTPHeaders: headers ?? {}, viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    let bytes = 0;
    session.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
    const go = async () => {
      const begun = performance.now();
      await page.goto(address, { waitUntil: "commit" });
      await page.waitForFunction(READABLE[readable], null, { polling: "raf", timeout: 120_000 });
      return (performance.now() - begun) / 1000;
    };
    let seconds = await go();
    if (warm) {
      await page.goto("about:blank");
      bytes = 0;
      seconds = await go();
    }
    await page.waitForLoadState("load");
    const processes = await (await browser.newBrowserCDPSession()).send("SystemInfo.getProcessInfo");
    const tabs = processes.processInfo.filter(({ type }) => type === "renderer").map(({ id }) => memoryOf(id));
    return { seconds, bytes, mib: Math.max(...tabs) };
  } finally {
    await browser.close();
  }
}

const median = (values) => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];

async function measure(address, readable, options) {
  const visits = [];
  for (let round = 0; round < ROUNDS; round += 1) visits.push(await visit(address, readable, options));
  return Object.fromEntries(["seconds", "bytes", "mib"].map((what) => [what, median(visits.map((one) => one[what]))]));
}

const site = await serve(given.docs);
const measured = {};
for (const [name, [ours, theirs, warm]] of Object.entries(given.pages)) {
  const headers = { authorization: `Bearer ${given.key}` };
  measured[name] = { console: await measure(given.url + ours, "console", { headers, warm }) };
  if (theirs) {
    const address = `http://127.0.0.1:${site.address().port}${theirs}`;
    measured[name].site = await measure(address, name === "lineage" ? "lineage" : "node", { warm });
  }
}
measured.plain = ["index.html", "manifest.json", "catalog.json"].reduce((sum, name) => sum + statSync(path.join(given.docs, name)).size, 0);
console.log(JSON.stringify(measured));
site.close();
