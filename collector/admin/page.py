"""The status page: one self-contained document that reads ``/status`` every two seconds."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>te-collector</title><body><pre id="s">loading</pre>
<script>
async function look() {
  try { document.getElementById("s").textContent = JSON.stringify(await (await fetch("status")).json(), null, 1); }
  catch (e) { document.getElementById("s").textContent = "no answer: " + e; }
}
look(); setInterval(look, 2000);
</script></body></html>
"""
