/** A piece of SVG, put together by {@link element}: whatever came from outside is escaped in it. */
export type Markup = string & { readonly markup: true };

type Attributes = Readonly<Record<string, string | number | undefined>>;

/** One element. Texts among the children are escaped, attributes that are undefined left out. */
export function element(name: string, attributes: Attributes, ...children: readonly Markup[]): Markup {
  const said = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escaped(typeof value === "number" ? short(value) : `${value}`)}"`)
    .join("");
  return (
    children.length === 0 ? `<${name}${said}/>` : `<${name}${said}>${children.join("")}</${name}>`
  ) as Markup;
}

/** Text as it may stand in an element. */
export function text(value: string): Markup {
  return escaped(value) as Markup;
}

function escaped(value: string): string {
  return value
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** Hundredths of a pixel are enough, and keep the file small. */
function short(value: number): string {
  return `${Math.round(value * 100) / 100}`;
}
