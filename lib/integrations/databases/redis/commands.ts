/** Describes Redis commands without their values: which arguments are keys, and how much of a key a span shows. */
import { recordFailure } from '../../../conventions/failure.js';
import type { OutboundWork } from '../../../spans/outbound.js';
import type { QueryParts } from '../attributes.js';

/** Which arguments of a command are keys. A number: the first ones. `pairs`: each second one. `butLast`: all but the last. */
type Keys = number | 'all' | 'pairs' | 'butLast';

/** Commands that are not in these lists show no argument. Passwords, scripts, settings and messages are arguments of such commands. */
const LISTS: readonly (readonly [Keys, string])[] = [
  [1, 'GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX GETRANGE SETRANGE SUBSTR STRLEN APPEND INCR DECR INCRBY DECRBY INCRBYFLOAT'],
  [1, 'EXPIRE PEXPIRE EXPIREAT PEXPIREAT EXPIRETIME PEXPIRETIME TTL PTTL PERSIST TYPE DUMP RESTORE MOVE SORT SORT_RO'],
  [1, 'SETBIT GETBIT BITCOUNT BITPOS BITFIELD BITFIELD_RO PFADD'],
  [1, 'HSET HSETNX HMSET HGET HMGET HGETALL HDEL HEXISTS HINCRBY HINCRBYFLOAT HKEYS HVALS HLEN HSTRLEN HSCAN HRANDFIELD'],
  [1, 'HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HEXPIRETIME HPEXPIRETIME HTTL HPTTL HPERSIST HGETDEL HGETEX HSETEX'],
  [1, 'LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LLEN LINDEX LSET LINSERT LRANGE LREM LTRIM LPOS'],
  [1, 'SADD SREM SISMEMBER SMISMEMBER SMEMBERS SCARD SPOP SRANDMEMBER SSCAN'],
  [1, 'ZADD ZREM ZSCORE ZMSCORE ZINCRBY ZCARD ZCOUNT ZLEXCOUNT ZRANK ZREVRANK ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE'],
  [1, 'ZRANGEBYLEX ZREVRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX ZPOPMIN ZPOPMAX ZRANDMEMBER ZSCAN'],
  [1, 'XADD XLEN XRANGE XREVRANGE XDEL XTRIM XACK XPENDING XCLAIM XAUTOCLAIM XSETID'],
  [1, 'GEOADD GEODIST GEOHASH GEOPOS GEOSEARCH GEORADIUS GEORADIUS_RO GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO'],
  [1, 'JSON.GET JSON.SET JSON.DEL JSON.MERGE JSON.TYPE JSON.STRLEN JSON.ARRAPPEND JSON.ARRLEN JSON.NUMINCRBY JSON.OBJKEYS'],
  [2, 'RENAME RENAMENX COPY LMOVE BLMOVE RPOPLPUSH BRPOPLPUSH SMOVE LCS ZRANGESTORE GEOSEARCHSTORE'],
  ['all', 'DEL UNLINK EXISTS TOUCH MGET WATCH SINTER SINTERSTORE SUNION SUNIONSTORE SDIFF SDIFFSTORE PFCOUNT PFMERGE'],
  ['pairs', 'MSET MSETNX'],
  ['butLast', 'BLPOP BRPOP BZPOPMIN BZPOPMAX'],
];

/** Commands whose arguments are not shown. */
const OTHERS =
  'ACL ASKING AUTH BGREWRITEAOF BGSAVE BITOP BLMPOP BZMPOP CLIENT CLUSTER CLUSTERSCAN COMMAND CONFIG DBSIZE DEBUG DELEX DELIFEQ DIGEST DISCARD ECHO EVAL ' +
  'EVALSHA EVALSHA_RO EVAL_RO EXEC FAILOVER FCALL FCALL_RO FLUSHALL FLUSHDB FUNCTION HELLO INFO KEYS LASTSAVE LATENCY LMPOP LOLWUT MEMORY ' +
  'MIGRATE MODULE MONITOR MSETEX MULTI OBJECT PFDEBUG PFSELFTEST PING PSUBSCRIBE PSYNC PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY ' +
  'READWRITE REPLCONF REPLICAOF RESET RESTORE-ASKING ROLE SAVE SCAN SCRIPT SELECT SENTINEL SHUTDOWN SINTERCARD SLAVEOF SLOWLOG SPUBLISH ' +
  'SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SWAPDB SYNC TIME UNSUBSCRIBE UNWATCH VADD VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER ' +
  'VRANGE VREM VSETATTR VSIM WAIT WAITAOF XACKDEL XCFGSET XDELEX XGROUP XINFO XREAD XREADGROUP ZDIFF ZDIFFSTORE ZINTER ZINTERCARD ' +
  'ZINTERSTORE ZMPOP ZUNION ZUNIONSTORE';

/** The commands of Redis's own modules, behind the name of the module. */
const MODULES: Readonly<Record<string, string>> = {
  BF: 'ADD CARD EXISTS INFO INSERT LOADCHUNK MADD MEXISTS RESERVE SCANDUMP',
  CF: 'ADD ADDNX COUNT DEL EXISTS INFO INSERT INSERTNX LOADCHUNK MEXISTS RESERVE SCANDUMP',
  CMS: 'INCRBY INFO INITBYDIM INITBYPROB MERGE QUERY',
  FT: '_LIST AGGREGATE ALIASADD ALIASDEL ALIASUPDATE ALTER CONFIG CREATE CURSOR DICTADD DICTDEL DICTDUMP DROPINDEX EXPLAIN EXPLAINCLI HYBRID INFO PROFILE SEARCH SPELLCHECK SUGADD SUGDEL SUGGET SUGLEN SYNDUMP SYNUPDATE TAGVALS',
  JSON: 'ARRINDEX ARRINSERT ARRPOP ARRTRIM CLEAR DEBUG FORGET MGET MSET NUMMULTBY OBJLEN RESP STRAPPEND TOGGLE',
  TDIGEST: 'ADD BYRANK BYREVRANK CDF CREATE INFO MAX MERGE MIN QUANTILE RANK RESET REVRANK TRIMMED_MEAN',
  TOPK: 'ADD COUNT INCRBY INFO LIST QUERY RESERVE',
  TS: 'ADD ALTER CREATE CREATERULE DECRBY DEL DELETERULE GET INCRBY INFO MADD MGET MRANGE MREVRANGE QUERYINDEX RANGE REVRANGE',
};

const keysOf = new Map<string, Keys>(LISTS.flatMap(([keys, names]) => names.split(' ').map(name => [name, keys] as const)));

const names = new Set([
  ...keysOf.keys(),
  ...OTHERS.split(' '),
  ...Object.entries(MODULES).flatMap(([module, commands]) => commands.split(' ').map(command => `${module}.${command}`)),
]);

/** Longer lists of arguments are cut. */
const MAX_ARGUMENTS = 10;

/** Returns what a span shows of a command, such as `SET user:? ?`. */
export function describeRedisCommand(name: unknown, args: readonly unknown[]): QueryParts {
  const operation = commandName(name);
  const text = [operation, ...argumentsOf(operation, args)].join(' ');
  return { operation, procedure: procedureOf(operation, args[0]), text };
}

/** The kinds of batches, as the conventions name them. */
export type BatchMode = 'MULTI' | 'PIPELINE';

/** Returns what a span shows of commands that are sent together. Their common name follows, such as `PIPELINE GET`. */
export function describeRedisBatch(mode: BatchMode, names: readonly unknown[]): QueryParts {
  const [first, ...others] = new Set(names.map(commandName));
  const operation = first === undefined || others.length > 0 ? mode : `${mode} ${first}`;
  return { operation, text: operation };
}

/** Makes the span of a batch fail with the first failed command: the others are executed, and the promise of the batch may resolve. */
export function failWithFirstError(work: OutboundWork): void {
  work.describe = (span, replies) => {
    // A reply of ioredis is a pair of an error and a value.
    const errors = Array.isArray(replies) ? replies.map(reply => (Array.isArray(reply) ? (reply[0] as unknown) : (reply as unknown))) : [];
    const failed = errors.find(error => error instanceof Error);
    if (failed === undefined) return;
    recordFailure(span, failed);
    work.describeFailure?.(span, failed);
  };
}

/** Returns the name in capital letters, as Redis writes it. A name that is not known may be a value, and is not shown. */
function commandName(name: unknown): string {
  const text = typeof name === 'string' ? name.toUpperCase() : '';
  return names.has(text) ? text : UNKNOWN;
}

const UNKNOWN = 'UNKNOWN';

function argumentsOf(operation: string, args: readonly unknown[]): string[] {
  const keys = keysOf.get(operation);
  if (keys === undefined) return [];
  const isKey = (index: number): boolean => {
    if (typeof keys === 'number') return index < keys;
    if (keys === 'pairs') return index % 2 === 0;
    return keys === 'all' || index < args.length - 1;
  };
  const shown = args.slice(0, MAX_ARGUMENTS).map((arg, index) => (isKey(index) ? keyPattern(arg) : '?'));
  return args.length > MAX_ARGUMENTS ? [...shown, '...'] : shown;
}

/** Keys are named `kind:id`, and the id may be a session, a token or an address. Only a kind that is a plain word is shown. */
const KIND = /^[a-zA-Z][a-zA-Z_-]{0,23}(?=:)/;

function keyPattern(key: unknown): string {
  const kind = typeof key === 'string' ? KIND.exec(key)?.[0] : undefined;
  return kind === undefined ? '?' : `${kind}:?`;
}

/** A script is known by its digest. */
function procedureOf(operation: string, digest: unknown): string | undefined {
  const isScript = operation === 'EVALSHA' || operation === 'EVALSHA_RO';
  return isScript && typeof digest === 'string' && /^[0-9a-f]{40}$/.test(digest) ? digest : undefined;
}
