-- Tells the metadata service of each message that was delivered: it wakes phones by push, and
-- IMAP sessions that were about to hibernate. Whatever goes wrong here is logged and forgotten:
-- a push may be missed, a delivery may not.

function dovecot_lua_notify_begin_txn(user)
  return user
end

local function set(mailbox, entry)
  return pcall(function()
    mailbox:metadata_set(entry, "")
  end)
end

local function tell(user, event)
  -- A user's own message, a copy for the other devices, is worth no push.
  local own = user.username == event.from_address
  local entry = own and "/private/messageown" or "/private/messagenew"
  local mailbox = user:mailbox(event.mailbox)
  local ok, problem = pcall(function()
    mailbox:sync()
  end)
  if ok then
    -- Twice, as a connection to a service that was restarted proves broken only when it is used.
    ok, problem = set(mailbox, entry)
    if not ok then
      ok, problem = set(mailbox, entry)
    end
  end
  mailbox:free()
  if not ok then
    error(problem, 0)
  end
end

function dovecot_lua_notify_event_message_new(user, event)
  local ok, problem = pcall(tell, user, event)
  if not ok then
    dovecot.i_warning("the metadata service was not told: " .. tostring(problem))
  end
end

function dovecot_lua_notify_end_txn(user, success)
end
