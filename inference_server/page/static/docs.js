// The calls of the OpenAPI document, to be read: what each takes, what it answers, and a command that makes it.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

const typeOf = (schema) => schema.type ?? schema.anyOf?.map((one) => one.type).join(" or ") ?? "";

function parameters(list) {
  const rows = list.map((one) => {
    const [schema, about] = [one.schema, one.description ?? one.schema.description ?? ""];
    const preset = schema.default === undefined ? "" : `, ${JSON.stringify(schema.default)} if left out`;
    return [element("dt", one.name), element("dd", `${typeOf(schema)}${preset}. ${about}`)];
  });
  return element("dl", "", ...rows.flat());
}

function answers(responses) {
  const rows = Object.entries(responses).map(([status, one]) => [element("dt", status), element("dd", one.description)]);
  return element("dl", "", ...rows.flat());
}

function command(path, method, call) {
  const body = call.requestBody ? " --data-binary @picture.jpg" : "";
  const stream = call.responses[200]?.content?.["text/event-stream"] ? " -N" : "";
  const verb = method === "get" || body ? "" : ` -X ${method.toUpperCase()}`;
  return element("pre", "", element("code", `curl${stream}${verb}${body} ${new URL(path.slice(1), document.baseURI)}`));
}

function card(path, method, call) {
  const made = element("section", "", element("h2", `${method.toUpperCase()} ${path}`));
  made.className = "card";
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
