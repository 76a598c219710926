// Run by a TypeScript client in its own directory: files with odd names go in and come out. Prints JSON.
// Usage: node files.mjs CLIENT_DIRECTORY BASE_URL API_KEY MODEL
import { createRequire } from 'node:module';

const [directory, baseURL, apiKey, model] = process.argv.slice(2);
const require = createRequire(`${directory}/`);
const { default: Anthropic, toFile } = require('@anthropic-ai/sdk');

const client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const betas = ['files-api-2025-04-14'];
const NAMES = ['数据.csv', 'Größe & Übersicht.xlsx', '🎉 party.pdf', 'same.txt', 'same.txt'];

const uploaded = [];
for (const [number, name] of NAMES.entries()) {
  uploaded.push(await client.beta.files.upload({ file: await toFile(Buffer.from(`${number}`), name), betas }));
}
const listed = [];
for await (const file of client.beta.files.list({ limit: 2, betas })) listed.push(file.id);

const uploads = uploaded.map(({ id }) => ({ type: 'container_upload', file_id: id }));
const message = await client.beta.messages.create({
  model,
  max_tokens: 1024,
  betas: [...betas, 'code-execution-2025-08-25'],
  tools: [{ type: 'code_execution_20250825', name: 'code_execution' }],
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Show them' }, ...uploads] }],
});
const result = message.content.find(({ type }) => type === 'bash_code_execution_tool_result').content;
const made = {};
for (const { file_id } of result.content) {
  const { filename } = await client.beta.files.retrieveMetadata(file_id, { betas });
  made[filename] = await (await client.beta.files.download(file_id, { betas })).text();
}
for (const { id } of uploaded) await client.beta.files.delete(id, { betas });
const gone = await client.beta.files.retrieveMetadata(uploaded[0].id, { betas }).catch((error) => error.status);

const described = uploaded.map(({ id, filename, mime_type, size_bytes }) => ({ id, filename, mime_type, size_bytes }));
process.stdout.write(JSON.stringify({ uploaded: described, listed, stdout: result.stdout, made, gone }));
