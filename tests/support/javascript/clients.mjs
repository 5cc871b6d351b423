// Each client asks the gateway what its users ask; what it made of the answers goes to standard output, as JSON.
// node clients.mjs ADDRESS KEY SLOW_KEY
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, jsonSchema, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [address, key, slowKey] = process.argv.slice(2);
const messages = [{ role: "user", content: "why is the sky blue?" }];
const parameters = { type: "object", properties: { place: { type: "string" } } };
const functions = [{ type: "function", function: { name: "weather", description: "of a place", parameters } }];

async function refusal(promise) {
  try {
    await promise;
    return "none";
  } catch (error) {
    return [error.constructor.name, error.status ?? error.statusCode ?? error.status_code];
  }
}

async function gathered(stream, piece) {
  const found = [];
  for await (const part of stream) found.push(piece(part));
  return found.filter((each) => each);
}

async function first(stream) {
  for await (const _ of stream) break;
}

async function openai() {
  const of = (apiKey) => new OpenAI({ baseURL: `${address}/v1`, apiKey, maxRetries: 0 });
  const client = of(key);
  const ask = (each, more = {}) => each.chat.completions.create({ model: "a", messages, ...more });
  const whole = await ask(client);
  const call = (await ask(client, { tools: functions })).choices[0].message.tool_calls[0].function;
  const vectors = await client.embeddings.create({ model: "a", input: "x", encoding_format: "float" });
  await first(await ask(client, { model: "slow", stream: true }));
  const slow = of(slowKey);
  await ask(slow);
  return {
    models: (await client.models.list()).data.map((model) => model.id),
    whole: [whole.choices[0].message.content, whole.usage.completion_tokens],
    stream: await gathered(await ask(client, { stream: true }), (part) => part.choices[0].delta.content),
    call: [call.name, JSON.parse(call.arguments)],
    vector: vectors.data[0].embedding,
    refusals: [
      await refusal(ask(of("wrong"))),
      await refusal(ask(client, { model: "gone" })),
      await refusal(ask(client, { temperature: 9 })),
      await refusal(ask(slow)),
    ],
  };
}

async function anthropic() {
  const of = (apiKey) => new Anthropic({ baseURL: address, apiKey, maxRetries: 0 });
  const client = of(key);
  const asked = { model: "a", max_tokens: 3, messages };
  const tools = [{ name: "weather", input_schema: parameters }];
  const whole = await client.messages.create(asked);
  const call = (await client.messages.stream({ ...asked, tools }).finalMessage()).content[0];
  await first(client.messages.stream({ ...asked, model: "slow" }));
  const slow = of(slowKey);
  return {
    models: await gathered(client.models.list(), (model) => model.id),
    whole: [whole.content[0].text, whole.usage.output_tokens],
    stream: await gathered(client.messages.stream(asked), (event) => event.delta?.text),
    call: [call.name, call.input],
    tokens: (await client.messages.countTokens({ model: "a", messages })).input_tokens,
    refusals: [
      await refusal(of("wrong").messages.create(asked)),
      await refusal(client.messages.create({ ...asked, model: "gone" })),
      await refusal(client.messages.create({ ...asked, temperature: 9 })),
      await refusal(slow.messages.create(asked)),
    ],
  };
}

async function ollama() {
  const of = (apiKey) => new Ollama({ host: address, headers: { Authorization: `Bearer ${apiKey}` } });
  const client = of(key);
  const whole = await client.chat({ model: "a", messages });
  const called = await client.chat({ model: "a", messages, tools: functions });
  const call = called.message.tool_calls[0].function;
  const stopped = await client.chat({ model: "slow", messages, stream: true });
  await first(stopped);
  stopped.abort();
  return {
    models: (await client.list()).models.map((model) => model.name),
    running: (await client.ps()).models.map((model) => model.name),
    length: (await client.show({ model: "a" })).model_info["vllm.context_length"],
    version: (await client.version()).version,
    whole: [whole.message.content, whole.eval_count],
    stream: await gathered(await client.chat({ model: "a", messages, stream: true }), (part) => part.message.content),
    generated: (await client.generate({ model: "a", prompt: "why?" })).response,
    call: [call.name, call.arguments],
    vector: (await client.embed({ model: "a", input: "x" })).embeddings[0],
    refusals: [
      await refusal(of("wrong").chat({ model: "a", messages })),
      await refusal(client.chat({ model: "gone", messages })),
      await refusal(client.chat({ model: "a", messages, options: { temperature: 9 } })),
      await refusal(of(slowKey).chat({ model: "a", messages })),
    ],
  };
}

async function aiSdk() {
  const of = (apiKey) => createOpenAICompatible({ name: "axion", baseURL: `${address}/v1`, apiKey });
  const provider = of(key);
  const ask = (each, model = "a") => generateText({ model: each(model), messages, maxRetries: 0 });
  const weather = tool({ description: "of a place", inputSchema: jsonSchema(parameters) });
  const called = await generateText({ model: provider("a"), messages, tools: { weather } });
  const leaving = new AbortController(); // its streams go on when nobody reads them
  await first(streamText({ model: provider("slow"), messages, abortSignal: leaving.signal }).textStream);
  leaving.abort();
  const vectors = await embed({ model: provider.textEmbeddingModel("a"), value: "x" });
  return {
    whole: (await ask(provider)).text,
    stream: await gathered(streamText({ model: provider("a"), messages }).textStream, (text) => text),
    call: [called.toolCalls[0].toolName, called.toolCalls[0].input],
    vector: vectors.embedding,
    refusals: [
      await refusal(ask(of("wrong"))),
      await refusal(ask(provider, "gone")),
      await refusal(ask(of(slowKey))),
    ],
  };
}

const told = { openai: await openai(), anthropic: await anthropic(), ollama: await ollama(), aiSdk: await aiSdk() };
process.stdout.write(JSON.stringify(told), () => process.exit(0)); // streams that were left must not keep it
