/** The virtual user whose thread this is; the modules of the stand-in find it here. */
let user;

export const here = () => user;

export function enter(found) {
  user = found;
}
