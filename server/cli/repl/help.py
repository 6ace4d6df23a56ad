"""What `/?` says, and the usage lines of commands that were given too little."""

from __future__ import annotations

COMMANDS = """\
Available Commands:
  /set            Change how this session runs
  /show           Look at the model
  /list           List the models in the store
  /load <model>   Go on with another model
  /save <model>   Keep this session as a model
  /clear          Forget the conversation so far
  /bye            Leave
  /?, /help       This help; also /? set, /? show, /? shortcuts

Use \"\"\" to begin a message of several lines, and to end it.
"""
FILES = "Name the path of a .jpg, .png, .webp or .wav file in a message to attach it.\n"
SET = """\
Available Commands:
  /set parameter ...     Set a parameter of the model
  /set system <string>   Set the system message
  /set history           Keep what is typed
  /set nohistory         Do not keep what is typed
  /set wordwrap          Wrap lines between words
  /set nowordwrap        Leave long lines as they are
  /set format json       Ask for JSON
  /set noformat          Ask for text
  /set verbose           Show counts and times after each reply
  /set quiet             Show replies only
  /set think [level]     Let the model think first (low, medium, high, max)
  /set nothink           Let the model answer at once

"""
SHOW = """\
Available Commands:
  /show info         What the model is
  /show license      Its license
  /show modelfile    Its Modelfile
  /show parameters   Its parameters, and those set here
  /show system       The system message
  /show template     The template of its prompts

"""
SHORTCUTS = """\
Available keyboard shortcuts:
  Ctrl + a            To the start of the line (Home)
  Ctrl + e            To the end of the line (End)
   Alt + b            Back one word
   Alt + f            Forward one word
  Ctrl + k            Delete what follows the cursor
  Ctrl + u            Delete what is before the cursor
  Ctrl + w            Delete the word before the cursor
  Ctrl + j            Start a new line in the message

  Ctrl + l            Clear the screen
  Ctrl + g            Write the message in an editor
  Ctrl + c            Stop the reply
  Ctrl + d            Leave (/bye)

"""
PARAMETERS = """\
Available Parameters:
  /set parameter seed <int>             Start of the random numbers
  /set parameter num_predict <int>      Most tokens of a reply
  /set parameter top_k <int>            Choose among the k likeliest tokens
  /set parameter top_p <float>          Choose among the likeliest tokens that sum up to p
  /set parameter min_p <float>          Leave out tokens less likely than p times the likeliest
  /set parameter num_ctx <int>          Length of the context
  /set parameter temperature <float>    How freely to choose
  /set parameter repeat_penalty <float> How strongly to avoid repetitions
  /set parameter repeat_last_n <int>    How far back to look for repetitions
  /set parameter num_gpu <int>          Layers to put on the GPU
  /set parameter stop <string> <string> ...   Texts that end a reply

"""
TOPICS = {"set": SET, "/set": SET, "show": SHOW, "/show": SHOW, "shortcut": SHORTCUTS, "shortcuts": SHORTCUTS}
LOAD = "Usage:\n  /load <modelname>\n"
SAVE = "Usage:\n  /save <modelname>\n"
