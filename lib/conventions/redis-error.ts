/** What may be shown of an error of Redis: its known codes, and the beginnings of messages that contain no value. */

const REPLY = /^(ReplyError|ErrorReply|SimpleError|BlobError)$/;

/** True for an answer of Redis, by the names of the classes of its clients. */
export function isRedisError(error: Readonly<Record<string, unknown>>): boolean {
  const className: unknown = (error['constructor'] as { readonly name?: unknown } | undefined)?.name;
  return REPLY.test(String(error['name'])) || REPLY.test(String(className));
}

/** Redis begins its answer with the code. Scripts begin theirs with any word. */
const CODES = new Set(
  (
    'ERR ASK BUSY BUSYGROUP BUSYKEY CLUSTERDOWN CROSSSLOT DENIED EXECABORT INPROG INVALIDOBJ IOERR LOADING MASTERDOWN MISCONF MOVED ' +
    'NOADDR NOAUTH NOGOODSLAVE NOGROUP NOMASTERLINK NOPERM NOPROTO NOQUORUM NOREPLICAS NOSCRIPT NOSUB NOTBUSY NOTREADY OOM READONLY SYNTAX TRYAGAIN ' +
    'UNBLOCKED UNKILLABLE WRONGPASS WRONGTYPE'
  ).split(' '),
);

/** Returns the code of an answer of Redis. `ERR` if it begins with none of Redis's own. */
export function redisErrorCode(message: string): string {
  const code = /^[A-Z]+(?= |$)/.exec(message)?.[0];
  return code !== undefined && CODES.has(code) ? code : 'ERR';
}

/** Beginnings of messages of Redis without values. All other messages may be those of scripts, or repeat arguments. */
const TEXTS = [
  'WRONGTYPE Operation against a key holding the wrong kind of value',
  'ERR value is not an integer or out of range',
  'ERR value is out of range',
  'ERR value is not a valid float',
  'ERR hash value is not an integer',
  'ERR syntax error',
  'ERR unknown command',
  'ERR unknown subcommand',
  'ERR wrong number of arguments',
  'ERR no such key',
  'ERR index out of range',
  'ERR increment or decrement would overflow',
  'ERR invalid expire time',
  'ERR Error running script',
  'ERR Error compiling script',
  'ERR DB index is out of range',
  'ERR max number of clients reached',
  'BUSY Redis is busy running a script',
  'BUSYGROUP Consumer Group name already exists',
  'CLUSTERDOWN The cluster is down',
  'CLUSTERDOWN Hash slot not served',
  "CROSSSLOT Keys in request don't hash to the same slot",
  'EXECABORT Transaction discarded because of previous errors',
  'LOADING Redis is loading the dataset in memory',
  'NOAUTH Authentication required',
  'NOGROUP No such key',
  'NOSCRIPT No matching script',
  'OOM command not allowed when used memory',
  "READONLY You can't write against a read only replica",
  'WRONGPASS invalid username-password pair',
];

/** Returns what may be shown of an answer of Redis. */
export function redisErrorText(message: string): string {
  return TEXTS.find(text => message.startsWith(text)) ?? redisErrorCode(message);
}
