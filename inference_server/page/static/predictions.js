// The server's answers about a picture, each as soon as it is there.

// One after the other, at these points, cheapest first; to a question, where the model answers such.
export async function* predictions(picture, model, points, question) {
  const asked = new URLSearchParams({ model, top_k: 3 });
  for (const point of points) asked.append("points", point);
  if (question) asked.set("question", question);
  const answer = await fetch(`v1/${question ? "answers" : "predictions"}/stream?${asked}`, { method: "POST", body: picture });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const lines = event.split("\n");
      const data = lines.find((line) => line.startsWith("data: "));
      if (!data) continue;
      const told = JSON.parse(data.slice("data: ".length));
      if (lines.includes("event: error")) throw new Error(told.detail);
      yield told;
    }
  }
}
