/* Errors in the log of a task's end. */
function detailsOf(event) {
    return (Array.isArray(event.log) ? event.log : [])
        .filter(function (item) {
            return item && item.level === 'error';
        })
        .map(function (item) {
            return typeof item.message === 'string' ? item.message : JSON.stringify(item);
        });
}

function messageOf(event) {
    return typeof event.error === 'string' ? event.error : String(event.error.message);
}

/* What an error event says beside its message. */
function reasonIn(event) {
    var isText = typeof event.error === 'string';
    return isText && event.details && event.details.error ? ', ' + event.details.error : '';
}

/* A structured error keeps its form, so that its code is not lost: the details get into its message. */
function withDetails(message, reason, details) {
    var suffix = reason + (details.length > 0 ? ': ' + details.join(', ') : '');
    var parsed;
    if (message.charAt(0) === '{') {
        try {
            parsed = JSON.parse(message);
        } catch (ignored) {
            return message + suffix;
        }
        parsed.message = String(parsed.message) + suffix;
        return JSON.stringify(parsed);
    }
    return message + suffix;
}

/* Why a task has failed, as its history tells. */
function failureOf(task) {
    var message = '';
    var reason = '';
    var details = [];
    (Array.isArray(task.history) ? task.history : []).forEach(function (entry) {
        var event = (entry && entry.event) || {};
        if (entry && entry.name === 'error' && event.error) {
            message = messageOf(event);
            reason = reasonIn(event);
        } else if (entry && entry.name === 'finish') {
            details = details.concat(detailsOf(event));
        }
    });
    return { name: 'Error', message: withDetails(message || 'Unexpected error occured', reason, details) };
}
