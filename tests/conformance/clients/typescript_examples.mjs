// The documentation's examples with the TypeScript client, of any version.
// Usage: node typescript_examples.mjs CLIENT_DIRECTORY
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { QUESTION, TABLE, WEATHER, serve } from './protocol.mjs';

const [directory] = process.argv.slice(2);
const require = createRequire(`${directory}/`);
const { default: Anthropic, toFile } = require('@anthropic-ai/sdk');
// The package does not export its own description.
const { version } = JSON.parse(readFileSync(`${directory}/node_modules/@anthropic-ai/sdk/package.json`));

const FILES = 'files-api-2025-04-14';
const TOOL = {
  name: 'get_weather',
  description: 'The weather in a city.',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

/** Messages that go back and forth, as the documentation's examples write them. */
class Conversation {
  constructor({ base_url: baseURL, api_key: apiKey, model, tool, beta }, ...tools) {
    this.client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
    this.messages = [];
    this.answers = [];
    this.streamed = false;
    this.events = 0;
    this.betas = [beta, FILES];
    this.request = { model, max_tokens: 4096, tools: [{ type: tool, name: 'code_execution' }, ...tools] };
  }

  async ask(content, fields = {}) {
    this.messages.push({ role: 'user', content });
    return this.goOn(fields);
  }

  async goOn(fields = {}) {
    const { betas, messages } = this;
    const request = { ...this.request, betas, messages, ...fields };
    const answer = await (this.streamed ? this.stream(request) : this.client.beta.messages.create(request));
    this.messages.push({ role: 'assistant', content: answer.content });
    this.answers.push(answer);
    return answer;
  }

  async stream(request) {
    const stream = this.client.beta.messages.stream(request);
    for await (const event of stream) this.events += event ? 1 : 0;
    return stream.finalMessage();
  }

  described() {
    const content = this.answers.flatMap((answer) => answer.content);
    const results = content.map((block) => block.content).filter((result) => result?.type);
    return {
      text: content.filter((block) => block.type === 'text').map((block) => block.text).join(''),
      stdout: results.filter((result) => 'stdout' in result).map((result) => result.stdout),
      errors: results.filter((result) => 'error_code' in result).map((result) => result.error_code),
      container: this.answers.at(-1).container?.id ?? null,
      stop_reasons: this.answers.map((answer) => answer.stop_reason),
      events: this.events,
    };
  }
}

const examples = {
  async quickstart(options) {
    const conversation = new Conversation(options);
    await conversation.ask(QUESTION);
    return conversation.described();
  },

  async streaming(options) {
    const conversation = new Conversation(options);
    conversation.streamed = true;
    await conversation.ask(QUESTION);
    return conversation.described();
  },

  async 'file upload and analysis'(options) {
    const conversation = new Conversation(options);
    const file = await conversation.client.beta.files.upload({
      file: await toFile(Buffer.from(TABLE), 'sales.csv', { type: 'text/csv' }),
      betas: [FILES],
    });
    await conversation.ask([
      { type: 'text', text: 'Sum it up.' },
      { type: 'container_upload', file_id: file.id },
    ]);
    return conversation.described();
  },

  async 'generated file download'(options) {
    const conversation = new Conversation(options);
    const answer = await conversation.ask('Make a file.');
    const made = answer.content.flatMap((block) => (block.content?.stdout === undefined ? [] : block.content.content));
    const files = {};
    for (const { file_id: id } of made) {
      const { filename } = await conversation.client.beta.files.retrieveMetadata(id, { betas: [FILES] });
      files[filename] = await (await conversation.client.beta.files.download(id, { betas: [FILES] })).text();
    }
    return { ...conversation.described(), files };
  },

  async 'container reuse'(options) {
    const conversation = new Conversation(options);
    const first = await conversation.ask('Keep a number.');
    await conversation.ask('Which number was it?', { container: first.container.id });
    return { ...conversation.described(), first_container: first.container.id };
  },

  async pause_turn(options) {
    const conversation = new Conversation(options);
    let answer = await conversation.ask('Take many steps.');
    // Sent back as it is, with nothing of the user's after it.
    while (answer.stop_reason === 'pause_turn') answer = await conversation.goOn({ container: answer.container.id });
    return conversation.described();
  },

  async 'client tool beside ours'(options, streamed = false) {
    const conversation = new Conversation(options, TOOL);
    conversation.streamed = streamed;
    let answer = await conversation.ask('Run it, and look up the weather.');
    const called = [];
    while (answer.stop_reason === 'tool_use') {
      const calls = answer.content.filter((block) => block.type === 'tool_use');
      called.push(...calls.map((call) => call.input));
      const results = calls.map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: WEATHER }));
      answer = await conversation.ask(results, { container: answer.container.id });
    }
    return { ...conversation.described(), called };
  },

  'client tool beside ours, streamed': (options) => examples['client tool beside ours'](options, true),

  async 'failed execution'(options) {
    const conversation = new Conversation(options);
    await conversation.ask('Fail.');
    await conversation.ask('Thank you.');
    return conversation.described();
  },

  async batch(options) {
    const conversation = new Conversation(options);
    const { batches } = conversation.client.beta.messages;
    const { betas, request } = conversation;
    const params = { ...request, messages: [{ role: 'user', content: QUESTION }] };
    const { id } = await batches.create({ betas, requests: [{ custom_id: 'one', params }] });
    while ((await batches.retrieve(id, { betas })).processing_status !== 'ended') {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    let customId;
    for await (const entry of await batches.results(id, { betas })) {
      customId = entry.custom_id;
      conversation.answers.push(entry.result.message);
    }
    return { ...conversation.described(), custom_id: customId };
  },
};

await serve(version, examples);
