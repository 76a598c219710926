// The documentation's examples with the Vercel AI SDK.
// Usage: node ai_sdk_examples.mjs CLIENT_DIRECTORY
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { QUESTION, WEATHER, serve } from './protocol.mjs';

const [directory] = process.argv.slice(2);
const require = createRequire(`${directory}/`);
const { generateText, isStepCount, stepCountIs, streamText, tool } = require('ai');
const { createAnthropic, forwardAnthropicContainerIdFromLastStep } = require('@ai-sdk/anthropic');
const { z } = require('zod');
const { version } = JSON.parse(readFileSync(`${directory}/node_modules/ai/package.json`));

const steps = stepCountIs ?? isStepCount;

function bench({ base_url: baseURL, api_key: apiKey, model, tool: type }, tools = {}) {
  const provider = createAnthropic({ baseURL: `${baseURL}/v1`, apiKey });
  const create = provider.tools[type.replace('code_execution_', 'codeExecution_')];
  return {
    model: provider(model),
    maxRetries: 0,
    maxOutputTokens: 4096,
    tools: { code_execution: create(), ...tools },
    prepareStep: forwardAnthropicContainerIdFromLastStep,
    stopWhen: steps(8),
  };
}

function described(...answers) {
  const all = answers.flatMap((answer) => answer.steps);
  const content = all.flatMap((step) => step.content);
  const results = content.filter((part) => part.type === 'tool-result' && part.providerExecuted);
  const failed = content.filter((part) => part.type === 'tool-error' && part.providerExecuted);
  const outputs = results.map((part) => part.output);
  const codes = [...outputs, ...failed.map((part) => JSON.parse(part.error?.message ?? part.error))];
  return {
    text: content.filter((part) => part.type === 'text').map((part) => part.text).join(''),
    stdout: outputs.filter((output) => 'stdout' in output).map((output) => output.stdout),
    errors: codes.map((output) => output.error_code ?? output.errorCode).filter(Boolean),
    container: all.at(-1).providerMetadata?.anthropic?.container?.id ?? null,
    stop_reasons: all.map((step) => step.rawFinishReason),
  };
}

/** A stream, read to its end, in the form of an answer. */
async function collected(stream) {
  let events = 0;
  for await (const part of stream.fullStream) {
    if (part.type === 'error') throw part.error;
    events += 1;
  }
  return { steps: await stream.steps, response: await stream.response, events };
}

const weather = (called) =>
  tool({
    description: 'The weather in a city.',
    inputSchema: z.object({ city: z.string() }),
    execute: async (input) => {
      called.push(input);
      return WEATHER;
    },
  });

const examples = {
  async quickstart(options) {
    return described(await generateText({ ...bench(options), prompt: QUESTION }));
  },

  async streaming(options) {
    const answer = await collected(streamText({ ...bench(options), prompt: QUESTION }));
    return { ...described(answer), events: answer.events };
  },

  async 'generated file download'(options) {
    const answer = await generateText({ ...bench(options), prompt: 'Make a file.' });
    const outputs = answer.steps.flatMap((step) => step.toolResults).map((result) => result.output);
    const files = {};
    // The framework has no Files: what it gives is the id.
    const headers = { 'x-api-key': options.api_key, 'anthropic-version': '2023-06-01' };
    for (const { file_id: id } of outputs.flatMap((output) => output.content)) {
      const url = `${options.base_url}/v1/files/${id}`;
      const { filename } = await (await fetch(url, { headers })).json();
      files[filename] = await (await fetch(`${url}/content`, { headers })).text();
    }
    return { ...described(answer), files };
  },

  async 'container reuse'(options) {
    const asked = { role: 'user', content: 'Keep a number.' };
    const first = await generateText({ ...bench(options), messages: [asked] });
    const container = first.providerMetadata.anthropic.container;
    const messages = [asked, ...first.response.messages, { role: 'user', content: 'Which number was it?' }];
    const providerOptions = { anthropic: { container: { id: container.id } } };
    const second = await generateText({ ...bench(options), messages, providerOptions });
    return { ...described(first, second), first_container: container.id };
  },

  async pause_turn(options) {
    const messages = [{ role: 'user', content: 'Take many steps.' }];
    const answers = [];
    let providerOptions = {};
    do {
      const answer = await generateText({ ...bench(options), messages, providerOptions });
      answers.push(answer);
      messages.push(...answer.response.messages);
      providerOptions = { anthropic: { container: { id: answer.providerMetadata.anthropic.container.id } } };
    } while (answers.at(-1).rawFinishReason === 'pause_turn');
    return described(...answers);
  },

  // The agent loop, which knows that the execution's result comes with a later step.
  async 'client tool beside ours'(options) {
    const called = [];
    const tools = { get_weather: weather(called) };
    const answer = await generateText({ ...bench(options, tools), prompt: 'Run it, and look up the weather.' });
    return { ...described(answer), called };
  },

  async 'client tool beside ours, streamed'(options) {
    const called = [];
    const request = { ...bench(options, { get_weather: weather(called) }), prompt: 'Run it, and look up the weather.' };
    return { ...described(await collected(streamText(request))), called };
  },

  async 'failed execution'(options) {
    const asked = { role: 'user', content: 'Fail.' };
    const first = await generateText({ ...bench(options), messages: [asked] });
    const messages = [asked, ...first.response.messages, { role: 'user', content: 'Thank you.' }];
    return described(first, await generateText({ ...bench(options), messages }));
  },
};

await serve(version, examples);
