import { Redis } from 'ioredis';
import { Redis as OlderRedis } from 'ioredis-5.4';
import { createClient } from 'redis';
import { createClient as createOlderClient } from 'redis-5.10';
import { DatabaseApplication } from './database-application.js';
import { describeWith, redis as server, serverOf } from './servers.js';

const SECRET = 's3cr3tOfAlice';
/** As the codes and the commands of Redis are. Only as the first word of a key it would be shown. */
const IN_CAPITALS = 'SECRETOFALICE';

/** `$` is the secret. An argument in quotes may have spaces. */
const TEMPLATES = `
SET session:$ $|SET $ $ EX 60|SETNX k $|SETEX k 60 $|SETEX k $ $|PSETEX k 60000 $|GETSET k $|GETDEL $|GETEX $ EX $|GETRANGE k $ $
APPEND k $|SETRANGE k 2 $|SETBIT k $ 1|BITFIELD k SET u8 0 $|MSET k $ $:a $|MSETNX n:$ $|INCRBY k $|INCR session:$|INCRBYFLOAT k $
EXPIRE k $|EXPIREAT k $|RESTORE r 0 $|RENAME none:$ $|COPY k $|DEL $ user:$|EXISTS $:a|OBJECT ENCODING $|SORT l BY $|LCS k $
HSET h $ $|HSETNX h $ $|HMSET h $ $ $ $|HGET h $|HMGET h $ $|HDEL h $|HINCRBY h $ $|HGET k $|HSCAN h 0 MATCH $
LPUSH l $|RPUSH l $ $|LPUSHX l $|LSET l 0 $|LSET l $ $|LINSERT l BEFORE $ $|LREM l 0 $|LPOS l $|LPOP l $|LPUSH k $
SADD s $|SREM s $|SISMEMBER s $|SMISMEMBER s $ $|SMOVE s $ $|SINTERCARD $ $|ZADD z 1 $|ZADD z $ $|ZREM z $|ZSCORE z $|ZINCRBY z 1 $
ZRANGEBYLEX z [$ [$|ZRANGE z $ $|XADD x * $ $|XADD x $ $ $|XGROUP CREATE x $ 0|XREADGROUP GROUP $ $ STREAMS none:$ >|XACK x $ $
PFADD p $|GEOADD g 1 2 $|GEOADD g $ $ $|GEODIST g $ $|PUBLISH $ $|SPUBLISH $ $|ECHO $|PING $|SELECT $|SWAPDB $ $|WAIT $ $
EVAL "return ARGV[1]" 1 $ $|EVAL "return redis.error_reply('$')" 0|EVAL "return redis.error_reply('MINE $')" 0|EVAL "error('$')" 0
EVAL "$ is no script" 0|EVALSHA $ 0 $|FCALL $ 0 $|SCRIPT LOAD "return '$'"|FUNCTION LOAD "$"|CONFIG SET $ $|CONFIG SET maxmemory $|CONFIG GET $
$|$ $|get$|$.GET $|FT.$ $|EVAL "return redis.error_reply('$$')" 0|EVAL "return redis.error_reply('$ $')" 0
AUTH $|AUTH $ $|HELLO 3 AUTH $ $|CLIENT SETNAME $|CLIENT KILL ADDR $|CLIENT NO-EVICT $|ACL SETUSER $ >$ +@all|ACL SETUSER $ $|ACL DELUSER $
MIGRATE 127.0.0.1 1 k 0 10 AUTH $|NOSUCH $ $|JSON.SET $ . $|FT.SEARCH $ $|DEBUG $ $|LATENCY $|MODULE LOAD $|CLUSTER $|MEMORY USAGE $`
  .trim()
  .split(/[|\n]/)
  .map(line => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ''));
const commandsWith = (secret: string): string[][] => TEMPLATES.map(words => words.map(word => word.replaceAll('$', secret)));
const COMMANDS = [
  ...commandsWith(SECRET),
  ...commandsWith(IN_CAPITALS).filter(words => !words.some(word => word.startsWith(`${IN_CAPITALS}:`))),
];

/** One client, by what it is here used for. */
interface Caller {
  readonly client: object;
  call(command: readonly string[]): Promise<unknown>;
  /** Sends all commands as one batch of each kind. */
  batches(commands: readonly string[][]): Promise<unknown>[];
  close(): void;
}

function throughIoredis(Client: typeof Redis, port: number): Caller {
  const client = new Client({ host: '127.0.0.1', port });
  client.on('error', () => undefined);
  const call = ([name = '', ...args]: readonly string[]): Promise<unknown> => client.call(name, ...args);
  const commands = (list: readonly string[][]) => list.map(command => ['call', ...command]);
  return {
    client,
    call,
    batches: list => [client.pipeline(commands(list)).exec(), client.multi(commands(list)).exec()],
    close: () => client.disconnect(),
  };
}

async function throughRedis(create: typeof createClient, port: number): Promise<Caller> {
  const client = create({ socket: { host: '127.0.0.1', port } });
  client.on('error', () => undefined);
  await client.connect();
  const filled = (list: readonly string[][]) => list.reduce((multi, command) => multi.addCommand([...command]), client.multi());
  return {
    client,
    call: command => client.sendCommand([...command]),
    batches: list => [filled(list).exec(), filled(list).execAsPipeline()],
    close: () => client.destroy(),
  };
}

describeWith(server, 'Redis')('what is exported of Redis commands', () => {
  it.each<[string, (port: number) => Caller | Promise<Caller>]>([
    ['ioredis 6.0', port => throughIoredis(Redis, port)],
    ['ioredis 5.4', port => throughIoredis(OlderRedis as unknown as typeof Redis, port)],
    ['redis 6.3', port => throughRedis(createClient, port)],
    ['redis 5.10', port => throughRedis(createOlderClient as unknown as typeof createClient, port)],
  ])(
    'contains no value and no key, also if it fails: %s',
    async (_library, open) => {
      const { port } = await serverOf(server);
      const caller = await open(port);
      const leaks: string[][] = [];
      const look = (application: DatabaseApplication, ...sent: string[]): void => {
        const place = application.exported.search(/s3cr3tOfAlice|SECRETOFALICE/i);
        if (place >= 0) leaks.push([...sent, application.exported.slice(Math.max(0, place - 100), place + 50)]);
      };
      // A client that is no provider is traced by its library's channels, if it has any.
      for (const isHeld of [true, false]) {
        const application = await DatabaseApplication.start(isHeld ? { client: caller.client } : {});
        let failures = 0;
        for (const command of COMMANDS) {
          // The error reaches the span of the request, too.
          await application.during(() => caller.call(command)).catch(() => (failures += 1));
          look(application, ...command);
        }
        for (const command of COMMANDS.slice(0, 40)) {
          await application.during(() => Promise.allSettled(caller.batches([command, ['GET', SECRET]])));
          look(application, 'batch', ...command);
        }
        await application.close();
        expect(failures).toBeGreaterThan(30);
      }
      caller.close();
      expect(leaks).toEqual([]);
    },
    60_000,
  );
});
