/** The User Service: reads users from an SQL database through TypeORM. Each query is a span, without a line about tracing. */
import { Controller, Get, Injectable, Module, NotFoundException, type OnModuleInit, Param, ParseIntPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { TracingModule } from 'nestjs-tracing';
import { Column, Entity, PrimaryColumn, Repository } from 'typeorm';

@Entity('users')
class User {
  @PrimaryColumn('integer')
  id!: number;

  @Column('text')
  name!: string;

  @Column('text')
  profile!: string;
}

@Injectable()
class UsersRepository implements OnModuleInit {
  constructor(@InjectRepository(User) private readonly users: Repository<User>) {}

  async onModuleInit(): Promise<void> {
    // The second profile is invalid JSON, so the database fails to read it.
    await this.users.insert([
      { id: 7, name: 'Ada', profile: '{"city":"London"}' },
      { id: 13, name: 'Bob', profile: '{"city":' },
    ]);
  }

  async findById(id: number): Promise<object | undefined> {
    const columns = ['user.id AS id', 'user.name AS name', `json_extract(user.profile, '$.city') AS city`];
    const query = this.users.createQueryBuilder('user').select(columns).where('user.id = :id', { id });
    return await query.getRawOne();
  }
}

@Controller('users')
class UsersController {
  constructor(private readonly users: UsersRepository) {}

  @Get(':id')
  async find(@Param('id', ParseIntPipe) id: number) {
    const user = await this.users.findById(id);
    if (!user) throw new NotFoundException(`There is no user ${id}`);
    return user;
  }
}

@Module({
  imports: [
    TracingModule.forRoot({ serviceName: 'user-service', methods: process.env.SAMPLE_METHODS === 'true' }),
    // SQLite, inside this process and in memory.
    TypeOrmModule.forRoot({ type: 'sqljs', entities: [User], synchronize: true }),
    TypeOrmModule.forFeature([User]),
  ],
  controllers: [UsersController],
  providers: [UsersRepository],
})
class UserServiceModule {}

const app = await NestFactory.create(UserServiceModule);
app.enableShutdownHooks();
await app.listen(process.env.PORT ?? 3002, '127.0.0.1');
console.log(`user-service listens on ${await app.getUrl()}`);
