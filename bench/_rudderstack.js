// Maps AppsFlyer messages with RudderStack's source and destination, in process: what `transform.py` compares with.
//
//     node bench/_rudderstack.js CHECKOUT MESSAGES
//
// CHECKOUT is a clone of https://github.com/rudderlabs/rudder-transformer after `npm ci --ignore-scripts`, MESSAGES a
// file with one JSON message in each line. Prints the events per second of processor time, of the best of some rounds.

const fs = require('fs');
const Module = require('module');
const path = require('path');

const [root, messages] = process.argv.slice(2).map((name) => path.resolve(name));
const ROUNDS = 12;

// A module that is compiled on installation, for users' own code, of which none runs here.
const load = Module._load;
Module._load = function (name, ...rest) {
  return name === 'isolated-vm' ? {} : load.call(this, name, ...rest);
};
const ts = require(require.resolve('typescript', { paths: [root] }));
const compilerOptions = { module: 'commonjs', target: 'es2022', esModuleInterop: true };
require.extensions['.ts'] = (module, file) => {
  module._compile(ts.transpileModule(fs.readFileSync(file, 'utf8'), { compilerOptions }).outputText, file);
};
const source = require(path.join(root, 'src/sources/appsflyer/transform.js'));
const destination = require(path.join(root, 'src/v0/destinations/am/transform.js'));

const project = { Config: { apiKey: 'a-key', residencyServer: 'standard' } };
const bodies = fs.readFileSync(messages, 'utf8').trim().split('\n');

let best = 0;
for (let round = 0; round < ROUNDS; round += 1) {
  const before = process.cpuUsage();
  for (const body of bodies) {
    const message = source.process({ request: { body } });
    JSON.stringify(destination.process({ message, destination: project }));
  }
  const used = process.cpuUsage(before);
  best = Math.max(best, bodies.length / ((used.user + used.system) / 1e6));
}
console.log(Math.round(best));
