/**
 * Stops a spec file that never ends and prints its name. The timer runs in its own thread, so it also works if a loop blocks the process.
 * If jest runs files in several processes, the others continue. A process that does not end after its last file is stopped too.
 */
const { writeSync } = require('node:fs');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

const { SPEC_FILE_DEADLINE_MS } = process.env;
/** No file takes this long, even on a busy machine. Files in foreign/ and backends/ build and start other programs. */
const deadlineOf = file => Number(SPEC_FILE_DEADLINE_MS ?? (/[\\/](foreign|backends)[\\/]/.test(file) ? 840_000 : 420_000));
/** Jest writes reports after the last file. */
const AFTER_LAST_MS = Number(SPEC_FILE_DEADLINE_MS ?? 180_000);

if (isMainThread) {
  // One thread for all files of this process.
  const thread = (process[Symbol.for('nestjs-tracing/specs/watchdog')] ??= new Worker(require.resolve('./watchdog.cjs')));
  thread.unref();
  const isWatching = process.argv.some(argument => argument.startsWith('--watch'));
  module.exports = {
    fileBegins: file => thread.postMessage({ file, state: 'has not ended', withinMs: deadlineOf(file) }),
    testBegins: test => thread.postMessage({ test }),
    fileEnds: file => {
      // Jest stops the processes that it started.
      const isOurs = process.send === undefined && !isWatching;
      const state = 'has ended, but what it or a file before it left open keeps the process';
      thread.postMessage(isOurs ? { file, state, withinMs: AFTER_LAST_MS } : { file });
    },
  };
} else {
  let timer;
  let running;
  parentPort.on('message', ({ file, state, withinMs, test }) => {
    running = test;
    if (file === undefined) return;
    clearTimeout(timer);
    if (withinMs === undefined) return;
    timer = setTimeout(() => {
      const during = running === undefined ? '' : `, in "${running}"`;
      writeSync(2, `\nSPEC FILE TIMED OUT: ${file} ${state} after ${withinMs / 1000} s${during}.\n`);
      process.kill(process.pid, 'SIGKILL');
    }, withinMs);
  });
}
