// Browsers start no workers on pages read from the disk. There the search runs in a hidden frame, with the same messages.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.receive = data => this.dispatchEvent(new MessageEvent("message", { data }))
      frame.srcdoc = `<script>postMessage = data => frameElement.receive(data)</script><script src="${url}"></script>`
      this.started = new Promise(resolve => frame.addEventListener("load", () => resolve(frame.contentWindow)))
      document.body.append(frame)
    }

    async postMessage(data) {
      const worker = await this.started
      worker.dispatchEvent(new worker.MessageEvent("message", { data }))
    }
  }
}
