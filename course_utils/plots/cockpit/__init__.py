"""The latent cockpit: one page script over the student's own models, as a widget in notebooks and as a page of its own.

The decoders run in the browser (``cockpit.js``): a picture follows the pointer without a question to the kernel, and
the exported page needs none. The widget is an anywidget, because that is one standard module for JupyterLab, Notebook
7, VS Code and Colab, without an extension of ours to build.
"""
