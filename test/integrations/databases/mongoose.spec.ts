import { SpanStatusCode } from '@opentelemetry/api';
import { getModelToken, MongooseModule } from '@nestjs/mongoose';
import mongoose, { type Connection, type Model, Schema } from 'mongoose';
import { DatabaseApplication, namesOf } from './database-application.js';
import { describeWith, ferretdb, serverOf } from './servers.js';

const SECRET = 's3cr3t-of-alice';

interface User {
  n?: number;
  email?: string;
  role?: string;
  phone?: string;
}

const schema = new Schema<User>(
  {
    n: Number,
    email: String,
    role: { type: String, enum: ['admin'] },
    phone: { type: String, validate: { validator: text => text === '1', message: '{VALUE} is no phone' } },
  },
  { autoIndex: false, autoCreate: false },
);

describeWith(ferretdb, 'Mongoose')('a command through Mongoose', () => {
  let url: string;
  let application: DatabaseApplication;
  let users: Model<User>;

  beforeAll(async () => {
    const { port } = await serverOf(ferretdb);
    url = `mongodb://127.0.0.1:${port}/shop`;
  });
  beforeEach(async () => {
    application = await DatabaseApplication.start(
      {},
      { imports: [MongooseModule.forRoot(url, { maxPoolSize: 5 }), MongooseModule.forFeature([{ name: 'User', schema }])] },
    );
    users = application.context.get<Model<User>>(getModelToken('User'), { strict: false });
  });
  afterEach(() => application.close());

  it('is one span below the request, with the collection of the model', async () => {
    const spans = await application.during(async () => {
      const user = await users.create({ n: 1, email: SECRET });
      user.n = 2;
      await user.save();
      expect(await users.findOne({ email: SECRET }).lean()).toMatchObject({ n: 2 });
      await users.insertMany([{ n: 3 }, { n: 4 }]);
      await users.aggregate([{ $match: { email: SECRET } }]);
      await users.updateMany({ n: 3 }, { n: 5 });
      await users.countDocuments();
      for await (const each of users.find({ n: 5 })) expect(each.n).toBe(5);
      await users.deleteMany({});
    });
    expect(namesOf(spans)).toEqual([
      'insert users',
      'update users',
      'find users',
      'insert users',
      'aggregate users',
      'update users',
      'aggregate users',
      'find users',
      'delete users',
    ]);
    expect(spans.every(span => application.parentOf(span)?.name === 'request')).toBe(true);
    expect(spans[1]?.attributes['db.query.text']).toContain('"u":{"$set":{"n":"?"}}');
    expect(application.exported).not.toContain(SECRET);
  });

  it('belongs to the request that made it, whoever releases the connection it waits for', async () => {
    const requests = await application.concurrently(100, async index => {
      const user = await users.create({ n: index });
      await users.findById(user.id);
      for await (const each of users.find({ n: index }).cursor()) expect(each.n).toBe(index);
    });
    for (const spans of requests) expect(namesOf(spans)).toEqual(['insert users', 'find users', 'find users']);
  });

  it('has no value of a refused document on the span of the request', async () => {
    const failing = async (fn: () => Promise<unknown>, message: string): Promise<void> => {
      await expect(application.during(fn)).rejects.toThrow();
      expect(application.named('request')[0]).toMatchObject({ status: { code: SpanStatusCode.ERROR, message } });
      expect(application.exported).not.toContain(SECRET);
    };
    const refused = { n: SECRET as unknown as number, role: SECRET, phone: SECRET };
    const paths = 'n, role, phone';
    await failing(() => users.create(refused), `User validation failed: ${paths}`);
    await failing(
      () => users.findOne({ n: SECRET as unknown as number }),
      'Cast to Number failed for value ? (type string) at path "n" for model ?',
    );
    await failing(() => users.findOne({ email: SECRET }).orFail(), 'No document found for query ?');
    await failing(() => users.find(SECRET as never).exec(), 'Parameter ? (type string)');
  });

  it.each([
    ['a connection that is still opening', () => mongoose.createConnection(url)],
    ['a model', () => mongoose.createConnection(url).model('User', schema)],
    ['an instance of Mongoose', async () => await new mongoose.Mongoose().connect(url)],
  ])('is traced if the provider is %s', async (_what, open) => {
    const provided = (await open()) as Connection | Model<User>;
    const other = await DatabaseApplication.start({ provided });
    const model = (typeof provided === 'function' ? provided : provided.model('User', schema)) as unknown as Model<User>;
    for (const spans of await other.concurrently(20, () => model.findOne({}).exec())) expect(namesOf(spans)).toEqual(['find users']);
    await other.close();
    await model.db.close();
  });
});
