// The page's side of the conversation: `asked` is what the reader wants, `told` what is to be shown, both as JSON.
// A new question is put only when the last one was answered, so that a slider that moves fast never queues questions.
export default ({ state }, doc) => {
  const at = (id) => document.getElementById(id)
  const controls = [...document.querySelectorAll("[data-setting]")]
  const moved = {}
  let turn = 0, answered = 0, wanted = false

  const ask = () => {
    document.body.dataset.waiting = "yes"
    wanted = answered < turn
    if (!wanted) state.asked = JSON.stringify({ turn: ++turn, moved })
  }
  const value = (control) => (control.type === "range" ? Number(control.value) : control.value)

  const show = () => {
    const told = JSON.parse(state.told)
    for (const [id, html] of Object.entries(told.html ?? {})) at(id).innerHTML = html
    for (const link of document.querySelectorAll("a.yaml")) if (told.yaml) link.href = told.yaml
    answered = told.turn
    if (wanted) return ask()
    if (answered < turn) return
    for (const control of controls) {
      const said = (told.controls ?? {})[control.dataset.setting]
      if (!said) continue
      control.disabled = said.why !== ""
      if (said.high !== undefined) control.max = said.high
      if (control.tagName === "SELECT") control.value = said.value
      else if (control.type === "radio") control.checked = control.value === said.value
      else if (control !== document.activeElement || !(control.dataset.setting in moved)) control.value = said.value
      if (at(`${control.dataset.setting}-value`)) at(`${control.dataset.setting}-value`).textContent = said.text
      if (at(`${control.dataset.setting}-why`)) at(`${control.dataset.setting}-why`).textContent = said.why
    }
    document.body.dataset.waiting = "no"
  }

  for (const control of controls) {
    control.addEventListener("input", () => {
      moved[control.dataset.setting] = value(control)
      const shown = at(`${control.dataset.setting}-value`)
      if (shown) shown.textContent = control.value
      ask()
    })
  }
  const more = at("more"), wide = window.matchMedia("(min-width: 761px)")
  if (more) {
    const fit = () => { more.open = wide.matches }
    fit()
    wide.addEventListener("change", fit)
  }
  at("reset")?.addEventListener("click", () => {
    for (const name of Object.keys(moved)) delete moved[name]
    ask()
  })
  state.properties.told.change.connect(show)
  show()
}
