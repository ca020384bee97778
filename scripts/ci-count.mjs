// ci-count.mjs RESULTS: sums up what the stages of .ci/run left in the folder RESULTS, on a line of its own at the end:
// of each stage NAME.status, its exit status, and of those that are test runs NAME.json, vitest's report. A stage
// without tests counts as one check.
import { readFileSync } from "node:fs";

const results = process.argv[2];
const total = { passed: 0, failed: 0, skipped: 0 };

for (const name of ["unit", "check", "setup", "pairs", "live"]) {
  const isTestRun = ["unit", "pairs", "live"].includes(name);
  const succeeded = readFileSync(`${results}/${name}.status`, "utf8").trim() === "0";
  const count = { passed: 0, failed: 0, skipped: 0 };
  if (isTestRun) addTests(count, `${results}/${name}.json`);
  else if (succeeded) count.passed = 1;
  // Whatever went wrong outside the tests (a crash, an unhandled error, the time limit) is one failure.
  if (!succeeded && count.failed === 0) count.failed = 1;
  if (isTestRun && count.passed + count.failed === 0) {
    console.log(`${name}: no test ran`);
    count.failed = 1;
  }
  if (["pairs", "live"].includes(name) && count.skipped > 0) {
    console.log(`${name}: skipping a test makes the whole fail`);
    process.exitCode = 1;
  }
  for (const key of Object.keys(total)) total[key] += count[key];
}

if (total.failed > 0) process.exitCode = 1;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);

function addTests(count, path) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return; // It crashed before it wrote one; the exit status tells.
  }
  for (const file of report.testResults) {
    const statuses = file.assertionResults.map((test) => test.status);
    for (const status of statuses) count[status in count ? status : "skipped"] += 1;
    // A file that could not be loaded, or a hook of it that failed.
    if (file.status === "failed" && !statuses.includes("failed")) count.failed += 1;
  }
}
