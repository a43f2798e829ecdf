// ReDoc's footer asks for its maker's picture on another host. No page of the console asks other hosts for anything,
// so the address of a picture from elsewhere is left out before the browser sees it.
const isOwn = (address) => String(address).startsWith("data:") || new URL(address, location.href).origin === location.origin;

const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  if (this.tagName !== "IMG" || name !== "src" || isOwn(value)) setAttribute.call(this, name, value);
};

const src = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
Object.defineProperty(HTMLImageElement.prototype, "src", {
  ...src,
  set(value) {
    if (isOwn(value)) src.set.call(this, value);
  },
});
