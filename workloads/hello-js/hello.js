// Answers every request with a greeting and the path that was asked for.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (request.method === "POST") {
    const words = await request.json();
    return Response.json({ sum: words.reduce((sum, n) => sum + n, 0) });
  }
  return new Response(`hello from JavaScript ${pathname}\n`, { headers: { "content-type": "text/plain" } });
}
