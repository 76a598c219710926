// Run by a TypeScript client in its own directory: the quickstart in every way this client has. Prints JSON.
// Usage: node quickstart.mjs CLIENT_DIRECTORY BASE_URL API_KEY MODEL TOOL_TYPE BETA
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [directory, baseURL, apiKey, model, toolType, beta] = process.argv.slice(2);
const require = createRequire(`${directory}/`);
const { default: Anthropic } = require('@anthropic-ai/sdk');
// The package does not export its own description.
const { version } = JSON.parse(readFileSync(`${directory}/node_modules/@anthropic-ai/sdk/package.json`));

const client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const request = {
  model,
  max_tokens: 1024,
  messages: [{ role: 'user', content: 'Calculate the mean of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]' }],
  tools: [{ type: toolType, name: 'code_execution' }],
};
const headers = { headers: { 'anthropic-beta': beta } };
const results = {};

results['create, beta'] = { message: await client.beta.messages.create({ ...request, betas: [beta] }) };
results['create, plain'] = { message: await client.messages.create(request, headers) };
results['stream, beta'] = {
  message: await client.beta.messages.stream({ ...request, betas: [beta] }).finalMessage(),
};
results['stream, plain'] = { message: await client.messages.stream(request, headers).finalMessage() };

const events = [];
for await (const event of await client.beta.messages.create({ ...request, betas: [beta], stream: true })) {
  events.push(event.type);
}
results['raw stream, beta'] = { events };

const { content, container } = results['create, beta'].message;
results['answer sent back'] = {
  message: await client.beta.messages.create({
    ...request,
    betas: [beta],
    container: container.id,
    messages: [...request.messages, { role: 'assistant', content }, { role: 'user', content: 'Thank you.' }],
  }),
};

console.log(JSON.stringify({ version, results }));
