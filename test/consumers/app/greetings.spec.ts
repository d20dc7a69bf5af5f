/** A user's own test, the same under jest and vitest. */
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { AppModule, listen, recorder } from './greetings.js';
import { checkJourney } from './journey.js';

describe('Greetings', () => {
  let app: INestApplication;

  beforeAll(async () => {
    const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = module.createNestApplication();
  });

  afterAll(() => app.close());

  it('are one trace from the request to the service that is called', async () => {
    await checkJourney(await listen(app));
    expect(recorder.spans).toHaveLength(4);
  });
});
