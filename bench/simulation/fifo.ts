export interface Linked<Item> {
  /** Of the one list that it stands in. */
  next: Item | null;
}

/** First in, first out, over items that carry their own link: millions of them move without an allocation. */
export class Fifo<Item extends Linked<Item>> {
  size = 0;
  first: Item | null = null;
  private last: Item | null = null;

  push(item: Item): void {
    item.next = null;
    if (this.last === null) this.first = item;
    else this.last.next = item;
    this.last = item;
    this.size++;
  }

  shift(): Item | null {
    const item = this.first;
    if (item === null) return null;
    this.first = item.next;
    if (this.first === null) this.last = null;
    item.next = null;
    this.size--;
    return item;
  }
}
