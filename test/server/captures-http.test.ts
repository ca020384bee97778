/** What HTTP gives of a capture of a real guest, beside what the command line says of its file. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { capturesFolder, openCaptureStore } from "../../src/bridge/store/index.ts";
import { startServing } from "../../src/cli/bridge/serving.ts";
import { Stopping } from "../../src/cli/bridge/stopping.ts";
import { FIXTURE, fixture, run } from "../cli/run.ts";

const ID = "boot-service";

let folder: string;
let file: string;
let http: string;
let token: string;
const stopping = new Stopping();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ebscope-http-"));
  file = join(folder, `${ID}.ebs`);
  await (await openCaptureStore(capturesFolder(folder))).write(ID, await fixture());
  const { places, files } = await startServing({ port: 0, listen: "127.0.0.1", data: folder }, stopping);
  http = `http://127.0.0.1:${(places[0] as { port: number }).port}/captures/${ID}`;
  token = readFileSync(files.read, "utf8").trim();
  writeFileSync(file, Buffer.from(await (await get("/file")).arrayBuffer()));
});

afterAll(async () => {
  await stopping.close();
  rmSync(folder, { recursive: true, force: true });
});

function get(path: string): Promise<Response> {
  return fetch(http + path, { headers: { authorization: `Bearer ${token}` } });
}

async function text(path: string): Promise<string> {
  const response = await get(path);
  expect(response.status).toBe(200);
  return response.text();
}

describe("a capture over HTTP", () => {
  it("is the file that was captured, byte for byte", () => {
    expect(readFileSync(file).equals(readFileSync(FIXTURE))).toBe(true);
  });

  it.each([
    ["/diff", ["diff"]],
    ["/diff?from=after&to=fault", ["diff", "--from", "after", "--to", "fault"]],
    ["/findings", ["show", "findings"]],
  ])("says at %s what the command line says with --json", async (path, [verb = "", ...more]) => {
    const own = JSON.parse(await run(verb, file, ...more, "--json"));
    expect(JSON.parse(await text(path))).toEqual(own);
  });

  it("is told in a report as the command line tells it", async () => {
    const [html, markdown] = [join(folder, "report.html"), join(folder, "report.md")];
    await run("report", file, "--html", html, "--markdown", markdown);
    expect(await text("/report.html")).toBe(readFileSync(html, "utf8"));
    expect(await text("/report.md")).toBe(readFileSync(markdown, "utf8"));
  });
});
