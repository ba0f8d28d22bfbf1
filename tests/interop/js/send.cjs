// Sends events with the CloudEvents SDK for JavaScript, in each mode, and prints the
// replies: one line of JSON for each, with status and body.
//
// node send.cjs URL TOKEN TENANT

const { CloudEvent, HTTP, Mode, emitterFor, httpTransport } = require("cloudevents");

const [url, token, tenant] = process.argv.slice(2);
const authorization = `Bearer ${token}`;

function event(id, data) {
  return new CloudEvent({
    id,
    source: "/js",
    type: "tokens.used",
    subject: "user-1",
    time: new Date().toISOString(),
    tenant,
    data,
  });
}

async function post(headers, body) {
  const reply = await fetch(url, {
    method: "POST",
    headers: { ...headers, authorization },
    body,
  });
  console.log(JSON.stringify({ status: reply.status, body: await reply.json() }));
}

async function main() {
  const structured = HTTP.structured(event("js-structured", { model: "large", tokens: 1.5 }));
  await post(structured.headers, structured.body);
  const binary = HTTP.binary(event("js-binary", { model: "größer", tokens: 2 }));
  await post(binary.headers, binary.body);
  // A batch is a list of events in the same JSON.
  const events = [1, 2, 3].map((tokens) => event(`js-batch-${tokens}`, { tokens }));
  const batch = { "content-type": "application/cloudevents-batch+json" };
  await post(batch, JSON.stringify(events));
  // The SDK's own transport.
  const emit = emitterFor(httpTransport(url), { binding: HTTP, mode: Mode.BINARY });
  const reply = await emit(event("js-emitted", { tokens: 4 }), { headers: { authorization } });
  console.log(JSON.stringify({ status: 200, body: JSON.parse(reply.body) }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
