import { assertEquals } from "@std/assert";
import { formatNotebook, listChapters, parseNotebook } from "tools/notebook.ts";

/** Keys out of order, numbers that Python writes otherwise, and characters that end a line in Python alone. */
const ODD = {
  nbformat_minor: 5,
  nbformat: 4,
  metadata: { signature: "gone", kernelspec: { name: "deno", display_name: "Deno" } },
  cells: [
    {
      source: 'one\r\ntwo\rthree\u2028four\ffive\x85six "é" \x7f',
      metadata: { trusted: true, tags: [], nbgrader: {} },
      id: "text",
      cell_type: "markdown",
      attachments: { "a.png": { "image/png": "aGk=\n" } },
    },
    {
      cell_type: "code",
      id: "code",
      source: "1\n",
      metadata: {},
      execution_count: 3,
      outputs: [
        { output_type: "stream", name: "stdout", text: "a\n\nb" },
        {
          output_type: "display_data",
          metadata: {},
          data: {
            "text/plain": "",
            "image/svg+xml": "<svg>\n</svg>",
            "image/png": "aGk=\n",
            "application/vnd.plotly.v1+json": {
              y: [1e-5, -1.5e-7, 1e-10, 0.0001, 0.00012, 0.5, 123456789012, 1e21, 1.5e300, 0],
              x: "a\nb",
            },
          },
        },
        { output_type: "error", ename: "E", evalue: "v", traceback: ["a\nb"] },
      ],
    },
  ],
};

const EXPECTED = String.raw`{
 "cells": [
  {
   "attachments": {
    "a.png": {
     "image/png": "aGk=\n"
    }
   },
   "cell_type": "markdown",
   "id": "text",
   "metadata": {
    "nbgrader": {},
    "tags": []
   },
   "source": [
    "one\r\n",
    "two\r",
    "three${"\u2028"}",
    "four\f",
    "five${"\x85"}",
    "six \"é\" ${"\x7f"}"
   ]
  },
  {
   "cell_type": "code",
   "execution_count": 3,
   "id": "code",
   "metadata": {},
   "outputs": [
    {
     "name": "stdout",
     "output_type": "stream",
     "text": [
      "a\n",
      "\n",
      "b"
     ]
    },
    {
     "data": {
      "application/vnd.plotly.v1+json": {
       "x": "a\nb",
       "y": [
        1e-05,
        -1.5e-07,
        1e-10,
        0.0001,
        0.00012,
        0.5,
        123456789012,
        1e+21,
        1.5e+300,
        0
       ]
      },
      "image/png": "aGk=\n",
      "image/svg+xml": [
       "<svg>\n",
       "</svg>"
      ],
      "text/plain": []
     },
     "metadata": {},
     "output_type": "display_data"
    },
    {
     "ename": "E",
     "evalue": "v",
     "output_type": "error",
     "traceback": [
      "a\nb"
     ]
    }
   ],
   "source": [
    "1\n"
   ]
  }
 ],
 "metadata": {
  "kernelspec": {
   "display_name": "Deno",
   "name": "deno"
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
`;

const odd = () => parseNotebook(JSON.stringify(ODD), "odd.ipynb");

Deno.test("a notebook is written as nbformat 5.10 wrote it", () => {
  assertEquals(formatNotebook(odd()), EXPECTED);
});

Deno.test("what is written is read and written the same", () => {
  assertEquals(formatNotebook(parseNotebook(formatNotebook(odd()), "odd.ipynb")), EXPECTED);
});

for (const file of listChapters()) {
  const name = file.replace(/.*[\\/]/, "");
  Deno.test(`${name} is committed as Jupyter writes it`, async () => {
    const text = await Deno.readTextFile(file);
    assertEquals(formatNotebook(parseNotebook(text, file)) === text, true, "deno task fmt");
  });
}
