// Events of tasks in JavaScript, with KafkaJS: `npm ci`, then `node consumer.mjs --events 1` (without it for ever).
//
// The API's records are compressed with LZ4, for which KafkaJS takes a codec: lz4js.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import kafkajs from "kafkajs";
import lz4 from "lz4js";

const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

const { values } = parseArgs({ options: { group: { type: "string", default: "example-node" }, events: { type: "string" } } });
const env = process.env;
const kafka = new Kafka({
  clientId: "pulp-example",
  brokers: env.PULP_KAFKA.split(","),
  ssl: (env.PULP_KAFKA_SECURITY_PROTOCOL ?? "").endsWith("SSL"),
  sasl: env.PULP_KAFKA_USERNAME && {
    mechanism: env.PULP_KAFKA_SASL_MECHANISM.toLowerCase(),
    username: env.PULP_KAFKA_USERNAME,
    password: readFileSync(env.PULP_KAFKA_PASSWORD_FILE, "utf8").trim(),
  },
  logLevel: logLevel.ERROR,
});

let left = values.events === undefined ? Infinity : Number(values.events);
let done;
const enough = new Promise((resolve) => { done = resolve; });
const consumer = kafka.consumer({ groupId: values.group });
await consumer.connect();
await consumer.subscribe({ topic: `${env.PULP_TOPIC_PREFIX ?? "pulp.tasks"}.events`, fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    if (left <= 0) return;
    try {
      const event = JSON.parse(message.value);
      console.log(event.type, event.subject, JSON.stringify(event.data));
    } catch (error) {
      console.error("not an event:", error.message); // the topic may hold what a stranger has written
    }
    left -= 1;
    if (left <= 0) done();
  },
});
await enough;
await consumer.disconnect();
