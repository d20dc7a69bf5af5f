/** What the benchmark can be told on the command line, and what it does when it is told nothing. */
import { parseArgs } from 'node:util';
import { variants } from './variants.mjs';

const ADAPTERS = ['express', 'fastify'];
/** The parts that are routes of the application. */
export const ROUTES = ['users', 'chain', 'calls-10', 'calls-50'];
const PARTS = [...ROUTES, 'messages', 'queries', 'calls', 'encoding', 'starts'];

export const help = `npm run bench -- [options]
  --quick                a few short rounds: to see that it works, not to be quoted
  --ci                   bare, ours and the minimum only; fails where ours costs more than the margin
  --only <what>          ${[...ADAPTERS, ...PARTS].join(', ')}; several with commas
  --node <versions>      here, 22, 24, 24.21.0 …; several with commas; default here,22,24 (here where it is quick)
  --variants <ids>       some of ${variants.map(({ id }) => id).join(',')}
  --fleets <n>           how often all processes are started
  --rounds <n>           how often each of them is visited
  --window <ms>          for how long
  --against <folder>     dist/ of another build of this library, measured beside this one as b0
  --in-process           requests without sockets: hardly any noise, for comparing builds
  --profile <ids>        CPU profiles of these variants, function by function, instead of a measurement`;

const full = {
  fleets: 4,
  rounds: 6,
  warmUpMs: 4000,
  leadMs: 150,
  windowMs: 1000,
  processes: 5,
  callRounds: 200,
  encodingRounds: 20,
  startRounds: 12,
};
const quick = {
  fleets: 1,
  rounds: 5,
  warmUpMs: 2000,
  leadMs: 100,
  windowMs: 500,
  processes: 1,
  callRounds: 60,
  encodingRounds: 10,
  startRounds: 3,
};

/** The options, each with its default filled in; throws on what it does not know. */
export function readCommandLine(args) {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const { values: given } = parseArgs({
    args,
    options: {
      help: flag,
      quick: flag,
      ci: flag,
      only: text,
      node: text,
      variants: text,
      fleets: text,
      rounds: text,
      window: text,
      profile: text,
      against: text,
      'in-process': flag,
    },
  });
  const { help: isHelp, quick: isQuick, ci: isCi, profile } = given;
  const isShort = isQuick || isCi;
  const only = list('only', given.only, [...ADAPTERS, ...PARTS]) ?? [];
  const parts = profile !== undefined ? ROUTES.slice(0, 1) : isCi ? ['users', 'calls', 'starts'] : PARTS;
  const { against } = given;
  const ids = variants.map(({ id }) => id).filter(id => id !== 'b0' || against !== undefined);
  return {
    isHelp,
    isCi,
    isInProcess: given['in-process'],
    against,
    nodes: (given.node ?? (isShort || profile !== undefined || given['in-process'] ? 'here' : 'here,22,24')).split(','),
    adapters: some(ADAPTERS, only, ADAPTERS),
    parts: some(PARTS, only, parts),
    variants: list('variants', given.variants, ids) ?? (isCi ? ['a', 'b', 'c'] : ids),
    profile: list('profile', profile, ids),
    lengths: {
      ...(isShort ? quick : full),
      ...(given.fleets !== undefined && { fleets: count('fleets', given.fleets) }),
      ...(given.rounds !== undefined && { rounds: count('rounds', given.rounds) }),
      ...(given.window !== undefined && { windowMs: count('window', given.window) }),
    },
  };
}

/** Those of `all` that were named; where none was, the usual ones. */
function some(all, named, usual) {
  const found = all.filter(name => named.includes(name));
  return found.length > 0 ? found : usual;
}

function list(option, text, known) {
  const names = text?.split(',');
  const unknown = names?.find(name => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--${option} "${unknown}": use some of ${known.join(', ')}`);
  return names;
}

function count(option, text) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${option} "${text}": use a whole number from 1 on`);
  return number;
}
