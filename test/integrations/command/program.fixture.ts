/** A CLI program of nest-commander, and one with an application context. The first argument selects one. */
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Command, CommandFactory, CommandRunner, RootCommand, SubCommand } from 'nest-commander';
import { NoSpan, Span, Tracer, TracingModule } from '../../../lib/index.js';
import { LazyQuery } from '../../lazy-query.js';

@Injectable()
class Greeter {
  @Span() async do(...what: unknown[]) {
    await Promise.resolve();
    console.log(JSON.stringify(what));
  }
}

abstract class Working extends CommandRunner {
  @Inject(Greeter) protected readonly work!: Greeter;
}

@Command({ name: 'greet', arguments: '<name>' })
class Greet extends Working {
  async run(args: string[], options?: Record<string, unknown>) {
    await this.work.do(args, options);
    if (args[0] === 'nobody') throw new RangeError('there is nobody');
    if (args[0] === 'code') process.exitCode = 3;
  }
}

@SubCommand({ name: 'up' })
class MigrateUp extends Working {
  async run() {
    await this.work.do('up');
  }
}

@SubCommand({ name: 'down' })
class MigrateDown extends Working {
  async run() {
    await this.work.do('down');
  }
}

@Command({ name: 'migrate', subCommands: [MigrateUp, MigrateDown] })
class Migrate extends CommandRunner {
  run() {
    return Promise.resolve();
  }
}

@Command({ name: 'query' })
class Query extends Working {
  run() {
    const query = new LazyQuery(async () => {
      await this.work.do('query');
      throw new RangeError('no rows');
    });
    return query as PromiseLike<unknown> as Promise<void>;
  }
}

@NoSpan()
@Command({ name: 'hush' })
class Hush extends Working {
  async run() {
    await this.work.do('hush');
  }
}

const inbound = { ignoreMessages: 'migrate down' };

@Module({
  imports: [TracingModule.forRoot({ serviceName: 'cli', exporter: 'otlp', inbound })],
  providers: [Greeter, MigrateDown, Greet, Migrate, MigrateUp, Query, Hush],
})
class AppModule {}

@RootCommand({ arguments: '[what]' })
class WithoutName extends Working {
  async run(args: string[]) {
    await this.work.do(args);
  }
}

@Module({ imports: [TracingModule.forRoot({ serviceName: 'cli', exporter: 'otlp' })], providers: [Greeter, WithoutName] })
class RootModule {}

if (process.argv[2] === 'context') {
  const application = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const work = async () => {
    await application.get(Greeter).do('import');
    if (process.argv[3] === 'badly') throw new RangeError('nothing to import');
  };
  try {
    await application.get(Tracer).span('import', { root: true }, work);
  } finally {
    await application.close();
  }
} else {
  await CommandFactory.run(process.argv[2] === 'root' ? RootModule : AppModule, {
    logger: false,
    serviceErrorHandler: (error: Error) => {
      console.error(error.message);
      process.exit(1);
    },
  });
}
