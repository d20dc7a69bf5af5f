/** The User Service: reads users from an SQL database; each query is a client span with OpenTelemetry's database attributes. */
import { Controller, Get, Injectable, Module, NotFoundException, type OnModuleInit, Param, ParseIntPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SpanKind } from '@opentelemetry/api';
import { Span, TracingModule } from 'nestjs-tracing';
import initSqlJs, { type Database } from 'sql.js';

const FIND_USER = "SELECT id, name, json_extract(profile, '$.city') AS city FROM users WHERE id = ?";

@Injectable()
class UsersRepository implements OnModuleInit {
  private database!: Database;

  async onModuleInit(): Promise<void> {
    const { Database } = await initSqlJs();
    this.database = new Database();
    this.database.run('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, profile TEXT)');
    // The profile of the second one is broken: reading it makes the database fail.
    this.database.run(`INSERT INTO users VALUES (7, 'Ada', '{"city":"London"}'), (13, 'Bob', '{"city":')`);
  }

  @Span('SELECT users', {
    kind: SpanKind.CLIENT,
    attributes: {
      'db.system.name': 'sqlite',
      'db.operation.name': 'SELECT',
      'db.collection.name': 'users',
      'db.query.summary': 'SELECT users',
      'db.query.text': FIND_USER,
    },
    resultAttributes: (user: object | undefined) => ({ 'db.response.returned_rows': user ? 1 : 0 }),
  })
  findById(id: number): object | undefined {
    const statement = this.database.prepare(FIND_USER, [id]);
    try {
      return statement.step() ? statement.getAsObject() : undefined;
    } finally {
      statement.free();
    }
  }
}

@Controller('users')
class UsersController {
  constructor(private readonly users: UsersRepository) {}

  @Get(':id')
  find(@Param('id', ParseIntPipe) id: number) {
    const user = this.users.findById(id);
    if (!user) throw new NotFoundException(`There is no user ${id}`);
    return user;
  }
}

@Module({
  imports: [TracingModule.forRoot({ serviceName: 'user-service' })],
  controllers: [UsersController],
  providers: [UsersRepository],
})
class UserServiceModule {}

const app = await NestFactory.create(UserServiceModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3002, '127.0.0.1');
console.log(`user-service listens on ${await app.getUrl()}`);
