/** The service of desk.proto, or a caller of it, as a process of its own that can be killed: `serve`, or `list <address>`. */
const { join } = require('node:path');
const { setInterval } = require('node:timers');
const grpc = require('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader');

const { Desk } = grpc.loadPackageDefinition(loadSync(join(process.cwd(), 'test/integrations/microservices/desk.proto'))).library;
const [, , role, url] = process.argv;

if (role === 'serve') {
  const server = new grpc.Server();
  server.addService(Desk.service, {
    List: call => {
      let number = 0;
      setInterval(() => call.write({ number: number++, text: '' }), 1);
    },
  });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(`listens on 127.0.0.1:${port}`);
  });
} else {
  new Desk(url, grpc.credentials.createInsecure()).list({}).on('data', ({ number }) => console.log(`got ${number}`));
}
