/** Starts the processes of the benchmark, each kept on its core, asks them things and ends them. */
import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Whether servers and load generator can be kept apart. */
export const isPinned = availableParallelism() > 1 && spawnSync('taskset', ['-c', '0', 'true']).status === 0;

const SERVER_CORE = '0';
const LOAD_CORE = '1';
const DEADLINE_MS = 30_000;

/** The application in one variant, on the core of the servers. */
export function startServer({ node, adapter, variant, downstream, peers, env = {} }) {
  return start('server', [variant.setUp, adapter, JSON.stringify(variant.options)], {
    node,
    core: SERVER_CORE,
    env: { NODE_ENV: 'production', BENCH_DOWNSTREAM: String(downstream), ...(peers && { BENCH_PEERS: peers }), ...env },
  });
}

/** The service that `/chain` calls, on the other core. */
export function startDownstream() {
  return start('downstream', [], { core: LOAD_CORE });
}

/** The load generator, on the other core. */
export function startLoad() {
  return start('load', [], { core: LOAD_CORE });
}

/** The application in one variant, to be measured without sockets. */
export function startInProcess({ node, adapter, variant, peers }) {
  const args = [variant.setUp, adapter, JSON.stringify(variant.options), variant.caller];
  return start('in-process', args, { node, core: SERVER_CORE, env: { NODE_ENV: 'production', ...(peers && { BENCH_PEERS: peers }) } });
}

/** One scenario of what a traced call costs, on the core of the servers. */
export function startCalls(node, scenario) {
  return start('calls', [scenario], { node, core: SERVER_CORE, env: { NODE_ENV: 'production' } });
}

/** What encodes spans, on the core of the servers. */
export function startEncoding(node) {
  return start('encoding', [], { node, core: SERVER_CORE, env: { NODE_ENV: 'production' } });
}

/** A microservice and its client in one variant, on the core of the servers. */
export function startMessages(node, { setUp, options }) {
  return start('messages', [setUp, JSON.stringify(options)], { node, core: SERVER_CORE, env: { NODE_ENV: 'production' } });
}

/** A process that sends queries through one library in one set-up, on the core of the servers. */
export function startQueries(node, library, setUp, port) {
  return start('queries', [library, setUp, String(port)], { node, core: SERVER_CORE, env: { NODE_ENV: 'production' } });
}

/** Resolves to what the process says when it is ready, with `ask(name, details)` and `stop()`. */
async function start(name, args, { node = process.execPath, core, env = {} }) {
  const script = fileURLToPath(new URL(`app/${name}.mjs`, import.meta.url));
  const command = isPinned ? ['taskset', '-c', core, node, script, ...args] : [node, script, ...args];
  const child = spawn(command[0], command.slice(1), { env: { ...withoutSettings(), ...env }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let output = '';
  const keep = chunk => (output = (output + chunk).slice(-4000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);

  const waiting = new Map();
  const ended = new Promise(resolve => child.on('close', resolve));
  const broken = Promise.race([ended, new Promise((_, reject) => child.on('error', reject))]).then(code => {
    throw new Error(`${name} ${args.join(' ')} ended with ${code}\n${output}`);
  });
  broken.catch(() => undefined);
  child.on('message', ({ id = 'ready', ...answer }) => waiting.get(id)?.(answer));

  let count = 0;
  const receive = id => {
    let timer;
    const received = new Promise(resolve => waiting.set(id, resolve));
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${name} ${args.join(' ')} does not answer\n${output}`)), DEADLINE_MS);
    });
    return Promise.race([received, broken, late]).finally(() => {
      clearTimeout(timer);
      waiting.delete(id);
    });
  };
  const ready = await receive('ready').catch(error => {
    child.kill('SIGKILL');
    throw error;
  });
  return {
    ...ready,
    output: () => output,
    ask(question, details = {}) {
      const id = ++count;
      child.send({ ...details, id, ask: question });
      return receive(id);
    },
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The environment without what would set tracing or Node up in another way. */
function withoutSettings() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|OTEL_|NODE_|JAEGER_|BENCH_)/.test(name)));
}
