// The calls of the OpenAPI document, to be read: what each takes, what it answers, and a command that makes it.

// text: what stands between backticks is code.
function element(name, text, ...children) {
  const made = document.createElement(name);
  text.split("`").forEach((part, i) => made.append(i % 2 ? element("code", part) : part));
  made.append(...children);
  return made;
}

function facts(rows) {
  const made = element("dl", "", ...rows.flatMap(([name, said]) => [element("dt", name), element("dd", said)]));
  made.className = "facts";
  return made;
}

const typeOf = (schema) => schema.type ?? schema.anyOf?.map((one) => one.type).join(" or ") ?? "";

function parameters(list) {
  const rows = list.map((one) => {
    const [schema, about] = [one.schema, one.description ?? one.schema.description ?? ""];
    const preset = schema.default === undefined ? "" : `, ${JSON.stringify(schema.default)} if left out`;
    return [one.name, `${typeOf(schema)}${preset}. ${about}`];
  });
  return facts(rows);
}

function answers(responses) {
  return facts(Object.entries(responses).map(([status, one]) => [status, one.description]));
}

function command(path, method, call) {
  const body = call.requestBody ? " --data-binary @picture.jpg" : "";
  const stream = call.responses[200]?.content?.["text/event-stream"] ? " -N" : "";
  const verb = method === "get" || body ? "" : ` -X ${method.toUpperCase()}`;
  return element("pre", "", element("code", `curl${stream}${verb}${body} ${new URL(path.slice(1), document.baseURI)}`));
}

function card(path, method, call) {
  const made = element("section", "", element("h2", `${method.toUpperCase()} ${path}`));
  made.className = "card stack";
  made.append(element("p", call.description ?? call.summary), command(path, method, call));
  if (call.requestBody) made.append(element("p", `Body: ${call.requestBody.description}`));
  if (call.parameters) made.append(element("h3", "Parameters"), parameters(call.parameters));
  made.append(element("h3", "Answers"), answers(call.responses));
  return made;
}

const described = await (await fetch("openapi.json")).json();
document.getElementById("about").textContent = described.info.description;
const calls = Object.entries(described.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, call]) => card(path, method, call)),
);
document.getElementById("calls").replaceChildren(...calls);
